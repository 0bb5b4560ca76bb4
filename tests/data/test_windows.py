"""Windows of documents, against the documents themselves."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from seq2seq.data.token_store import RaggedColumn
from seq2seq.data.tokenizers.tokenizer import END, START
from seq2seq.data.windows import Windows
from seq2seq.errors import UserError


def column_of(lengths):
    offsets = np.cumsum([0, *lengths])
    return RaggedColumn(offsets, np.arange(100, 100 + offsets[-1], dtype=np.int32))


def streams_of(windows, column, batches):
    """Returns, row by row, all documents that the row reads: their inputs and labels."""
    rows = {}
    for batch in batches:
        inputs, labels, weights = windows.read(column, batch)
        for row, reset in enumerate(inputs["reset"]):
            real = weights[row] == 1
            assert not real[real.sum() :].any()
            pieces = rows.setdefault(row, [])
            if reset:
                pieces.append(([], []))
            pieces[-1][0].extend(inputs["tokens"][row, real])
            pieces[-1][1].extend(labels[row, real])
    return rows


LENGTHS = st.lists(st.integers(1, 12), min_size=1, max_size=6)


@settings(derandomize=True, deadline=None, max_examples=60)
@given(LENGTHS, st.integers(1, 5), st.integers(1, 5))
def test_rows_read_all_documents_whole_and_each_row_goes_on_where_it_stopped(
    lengths, batch_size, length
):
    column, windows = column_of(lengths), Windows(batch_size, length)
    order = np.random.default_rng(0).permutation(len(lengths))
    batches = windows.batches(np.array(lengths), order)
    sizes = [len(batch) for batch in batches]
    assert sizes == sorted(sizes, reverse=True)
    assert max(sizes) <= batch_size
    assert len(set(sizes[:-1])) <= 1
    rows = streams_of(windows, column, batches)
    labels = [label for row in rows.values() for _, piece in row for label in piece]
    inputs = [token for row in rows.values() for piece, _ in row for token in piece]
    documents = [column.tokens[column.offsets[d] : column.offsets[d + 1]] for d in order]
    assert labels == [t for document in documents for t in [*document, END]]
    assert inputs == [t for document in documents for t in [START, *document]]
    for row in rows.values():  # a state starts anew with each document, and nowhere within one
        assert all(START not in piece[1:] for piece, _ in row)
        assert all(piece[0] == START for piece, _ in row[1:])
    assert sum(windows.count(np.array(lengths), b) for b in batches) == len(labels)


@settings(derandomize=True, deadline=None, max_examples=60)
@given(LENGTHS, st.integers(1, 5), st.integers(1, 5))
def test_documents_are_measured_whole_whatever_the_size_of_the_batch(lengths, batch_size, length):
    column, windows = column_of(lengths), Windows(batch_size, length)
    batches = windows.evaluation_batches(np.array(lengths))
    sizes = [len(batch) for batch in batches]
    assert sizes == sorted(sizes, reverse=True)
    assert sizes[0] == min(batch_size, len(lengths))
    read = [piece for row in streams_of(windows, column, batches).values() for piece in row]
    documents = [column.tokens[a:b] for a, b in itertools.pairwise(column.offsets)]
    assert sorted(labels for _, labels in read) == sorted([*map(int, d), END] for d in documents)
    assert all(inputs == [START, *labels[:-1]] for inputs, labels in read)
    counts = [-(-(n + 1) // length) for n in lengths]
    assert len(batches) <= max([*counts, 2 * -(-sum(counts) // sizes[0])])  # rows are balanced


def test_without_carried_state_each_window_starts_anew():
    windows = Windows(2, 3, stateful=False)
    batches = windows.training_batches(np.array([20]), np.array([7]), seed=1, epoch=0)
    assert all((batch[:, 2] == 1).all() for batch in batches)


def test_the_order_of_documents_depends_on_seed_and_epoch_and_content_alone():
    lengths, hashes = np.array([3, 5, 4, 6]), np.array([40, 10, 30, 20], np.uint64)
    windows = Windows(2, 4)

    def contents(lengths, hashes, **arguments):
        batches = windows.training_batches(lengths, hashes, **arguments)
        return [[(hashes[d], s, r) for d, s, r in batch] for batch in batches]

    first = contents(lengths, hashes, seed=1, epoch=0)
    other_way = [2, 0, 3, 1]
    assert contents(lengths[other_way], hashes[other_way], seed=1, epoch=0) == first
    others = [contents(lengths, hashes, seed=1, epoch=epoch) for epoch in range(1, 6)]
    assert any(other != first for other in others)


@pytest.mark.parametrize("setting", ["batch_size", "length"])
def test_impossible_settings_are_refused(setting):
    with pytest.raises(UserError, match=f"batching.{setting}=0"):
        Windows(**{setting: 0})
