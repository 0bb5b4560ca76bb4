import gc
import time
import weakref

import numpy as np
import pytest
import tensorflow as tf
from hydra.utils import instantiate
from hypothesis import given
from hypothesis import strategies as st
from omegaconf import OmegaConf
from tensorflow.python.framework.config import disable_op_determinism

from seq2seq.data.batching import Batching, batch_dataset, padding_share
from seq2seq.data.formats.parallel_text import ParallelText
from seq2seq.data.token_store import ColumnSpec, TokenStore
from seq2seq.data.tokenizers.tokenizer import Tokenizer
from seq2seq.errors import UserError

UNITS = ["sentences", "tokens"]


def _random_rows(count, seed=0, columns=2, longest=40):
    random = np.random.default_rng(seed)
    lengths = random.integers(1, longest, (count, columns), dtype=np.int32)
    hashes = random.permutation(np.arange(count, dtype=np.uint64) * np.uint64(2**50))
    return lengths, hashes


def _naive_padding_share(lengths, batches):
    padded = real = 0
    for rows in batches:
        for column in range(lengths.shape[1]):
            longest = max(lengths[row, column] for row in rows)
            padded += sum(longest - lengths[row, column] for row in rows)
            real += sum(lengths[row, column] for row in rows)
    return padded / (padded + real)


batchings = st.builds(
    Batching,
    batch_size=st.integers(1, 200),
    unit=st.sampled_from(UNITS),
    pool_size=st.integers(1, 100),
)


@given(
    batching=batchings,
    count=st.integers(0, 150),
    columns=st.integers(1, 3),
    seed=st.integers(0, 5),
    epoch=st.integers(0, 5),
)
def test_every_row_is_in_one_batch(batching, count, columns, seed, epoch):
    lengths, hashes = _random_rows(count, seed, columns)
    for batches in (
        batching.training_batches(lengths, hashes, seed, epoch),
        batching.evaluation_batches(lengths, hashes),
    ):
        assert sorted(row for batch in batches for row in batch) == list(range(count))
        assert all(len(batch) for batch in batches)


@given(batching=batchings, count=st.integers(1, 150), seed=st.integers(0, 5))
def test_the_order_of_the_rows_is_irrelevant(batching, count, seed):
    lengths, hashes = _random_rows(count)
    other = np.random.default_rng(seed).permutation(count)

    def contents(lengths, hashes):
        batches = batching.training_batches(lengths, hashes, seed, 1)
        batches += batching.evaluation_batches(lengths, hashes)
        return [hashes[batch].tolist() for batch in batches]

    assert contents(lengths, hashes) == contents(lengths[other], hashes[other])


@pytest.mark.parametrize("unit", UNITS)
def test_seed_and_epoch_decide_on_the_order(unit):
    lengths, hashes = _random_rows(500)
    batching = Batching(32, unit)
    orders = [
        tuple(np.concatenate(batching.training_batches(lengths, hashes, seed, epoch)))
        for seed, epoch in [(0, 0), (0, 0), (0, 1), (1, 0)]
    ]
    assert orders[0] == orders[1]
    assert len(set(orders)) == 3


def test_sentences_fill_all_batches_but_one():
    lengths, hashes = _random_rows(1000)
    for pool_size in (1, 100, 130, 5000):
        batches = Batching(64, pool_size=pool_size).training_batches(lengths, hashes, 0, 0)
        assert sorted(map(len, batches)) == [1000 % 64] + [64] * (1000 // 64)


@given(size=st.integers(1, 400), count=st.integers(1, 150), pool_size=st.integers(1, 200))
def test_tokens_are_as_many_as_fit(size, count, pool_size):
    lengths, hashes = _random_rows(count)
    batching = Batching(size, "tokens", pool_size)
    batches = batching.evaluation_batches(lengths, hashes)

    def padded(rows):
        return lengths[rows].max(axis=0).sum() * len(rows)

    for batch, following in zip(batches, [*batches[1:], None], strict=True):
        assert padded(batch) <= size or len(batch) == 1
        if following is not None:
            assert padded(np.append(batch, following[0])) > size
    for batch in batching.training_batches(lengths, hashes, 0, 0):
        assert padded(batch) <= size or len(batch) == 1


def test_evaluation_goes_from_short_to_long():
    lengths, hashes = _random_rows(300)
    order = np.concatenate(Batching(16).evaluation_batches(lengths, hashes))
    assert np.all(np.diff(lengths[order, 1]) >= 0)


@pytest.mark.parametrize("unit", UNITS)
def test_padding_share_equals_a_naive_count(unit):
    lengths, hashes = _random_rows(300)
    batches = Batching(50, unit).training_batches(lengths, hashes, 0, 0)
    assert padding_share(lengths, batches) == pytest.approx(_naive_padding_share(lengths, batches))
    assert padding_share(lengths, []) == 0


def _default(name, request):
    return instantiate(OmegaConf.load(request.config.rootpath / f"conf/batching/{name}.yaml"))


def _captions(random, rows):
    """Lengths like those of Multi30k: log-normal, and translations about as long as sources."""
    source = random.lognormal(2.5, 0.32, rows)
    return source, source * random.normal(1.0, 0.17, rows)


def _news(random, rows):
    """Lengths like those of WMT: a broad gamma distribution up to a maximum of 100."""
    source = random.gamma(2.2, 12, rows)
    return source, source * random.normal(1.1, 0.2, rows)


def _dates(random, rows):
    """Characters of written dates, and ISO dates, which are all of one length."""
    return random.normal(17, 6, rows), np.full(rows, 10)


@pytest.mark.parametrize("name", UNITS)
@pytest.mark.parametrize(
    ("lengths_of", "rows"), [(_captions, 29_000), (_news, 100_000), (_dates, 40_000)]
)
def test_at_most_five_percent_is_padding(lengths_of, rows, name, request):
    """At the default settings, over all cells of source and target together."""
    source, target = lengths_of(np.random.default_rng(3), rows)
    lengths = np.clip(np.stack([source, target], axis=1), 1, 100).astype(np.int32)
    hashes = np.arange(rows, dtype=np.uint64)
    batches = _default(name, request).training_batches(lengths, hashes, seed=0, epoch=0)
    assert padding_share(lengths, batches) <= 0.05


@pytest.mark.parametrize("name", UNITS)
def test_at_most_five_percent_of_multi30k_is_padding(real_data, tmp_path, request, name):
    directory = real_data / "multi30k_en_de" / "tok"
    files = ({"train": f"train.lc.norm.tok.{side}"} for side in ("en", "de"))
    dataset = ParallelText(directory, *files)
    tokenizer = Tokenizer("word").fit(["a"])
    columns = {side: ColumnSpec(side, tokenizer) for side in ("source", "target")}
    store = TokenStore.cached("m30k", lambda: dataset.records("train"), columns, tmp_path)
    batches = _default(name, request).training_batches(store.lengths, store.hashes, 0, 0)
    assert padding_share(store.lengths, batches) <= 0.05


def test_a_million_rows_take_seconds():
    lengths, hashes = _random_rows(1_000_000)
    start = time.perf_counter()
    for unit, size in (("sentences", 64), ("tokens", 4096)):
        Batching(size, unit).training_batches(lengths, hashes, 0, 0)
    assert time.perf_counter() - start < 20


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"unit": "words"}, r"batching\.unit=words is not one of sentences, tokens"),
        ({"batch_size": 0}, r"batching\.batch_size=0 is below 1"),
        ({"pool_size": -1}, r"batching\.pool_size=-1 is below 1"),
        ({"maximum_length": {"source": 0}}, r"batching\.maximum_length\.source=0 is below 1"),
    ],
)
def test_impossible_settings(settings, message):
    with pytest.raises(UserError, match=message):
        Batching(**settings)


@pytest.fixture
def deterministic_ops():
    tf.config.experimental.enable_op_determinism()
    yield
    disable_op_determinism()


class TestBatchDataset:
    SIGNATURE = {"rows": tf.TensorSpec([None], tf.int64), "sum": tf.TensorSpec([], tf.int64)}  # noqa: RUF012

    def _dataset(self, batches):
        return batch_dataset(
            lambda rows: {"rows": rows, "sum": rows.sum()}, batches, self.SIGNATURE
        )

    def test_elements_in_order_each_time(self):
        batches = [np.arange(size) for size in (3, 1, 7, 2)]
        dataset = self._dataset(batches)
        for _ in range(2):
            elements = list(dataset.as_numpy_iterator())
            assert [element["rows"].tolist() for element in elements] == [
                batch.tolist() for batch in batches
            ]
            assert [element["sum"] for element in elements] == [3, 0, 21, 1]

    @pytest.mark.usefixtures("deterministic_ops")
    def test_elements_are_made_in_the_background(self):
        """Also where ops are deterministic, as in every run: TensorFlow then holds back much."""
        made = []

        def make(rows):
            made.append(1)
            return rows

        dataset = batch_dataset(make, [np.arange(2)] * 50, tf.TensorSpec([None], tf.int64))
        iterator = iter(dataset)
        next(iterator)
        deadline = time.monotonic() + 10
        while len(made) < 9 and time.monotonic() < deadline:
            time.sleep(0.01)
        assert 9 <= len(made) < 50  # some ahead, not all at once

    def test_an_error_arrives(self):
        def fail(rows):
            raise ValueError("a broken row")

        dataset = batch_dataset(fail, [np.arange(2)], tf.TensorSpec([None], tf.int64))
        with pytest.raises(tf.errors.OpError, match="a broken row"):
            list(dataset)

    def test_the_number_of_batches_is_known(self):
        assert self._dataset([np.arange(2)] * 5).cardinality() == 5
        assert list(self._dataset([])) == []

    def test_shapes_are_known_as_far_as_the_signature_says(self):
        dataset = self._dataset([np.arange(2)])
        assert dataset.element_spec == self.SIGNATURE


class Rows(list):
    """A list that a weak reference can be made to."""


def test_a_dataset_that_is_gone_leaves_no_batches_behind():
    batches = Rows([np.arange(3), np.arange(2), np.arange(1)])
    reference = weakref.ref(batches)
    iterator = iter(batch_dataset(lambda rows: rows, batches, tf.TensorSpec([None], tf.int64)))
    del batches
    gc.collect()
    assert [len(batch) for batch in iterator] == [3, 2, 1]  # an iterator alone keeps them
    assert reference() is not None
    del iterator
    gc.collect()
    assert reference() is None


@pytest.mark.parametrize("unit", UNITS)
def test_the_first_epochs_of_a_curriculum_go_from_short_to_long(unit):
    lengths, hashes = _random_rows(500)
    plain = Batching(batch_size=30, unit=unit, pool_size=100)
    curriculum = Batching(batch_size=30, unit=unit, pool_size=100, curriculum_epochs=2)
    for epoch in (0, 1):
        batches = curriculum.training_batches(lengths, hashes, 0, epoch)
        longest = [max(sum(lengths[row]) for row in rows) for rows in batches]
        assert longest == sorted(longest)
        assert sorted(np.concatenate(batches)) == list(range(500))
    later, same = (each.training_batches(lengths, hashes, 0, 2) for each in (curriculum, plain))
    assert [rows.tolist() for rows in later] == [rows.tolist() for rows in same]
    with pytest.raises(UserError, match=r"batching\.curriculum_epochs=-1 is below 0"):
        Batching(curriculum_epochs=-1)
