"""Error rates of transduction, against TensorFlow's edit distance and brute force."""

import random

import numpy as np
import pytest
import tensorflow as tf

from seq2seq.evaluation.error_rates import ERROR_RATES, edit_distance
from seq2seq.evaluation.item_statistics import SCORES, item_statistics, statistics_matrices
from seq2seq.evaluation.text import score_texts

PHONES = ["AH0", "AH1", "K", "T", "S"]


@pytest.fixture(scope="module")
def items():
    """Hypotheses, some right, and one to four references of each."""
    draw = random.Random(1)

    def pronunciation():
        return " ".join(draw.choices(PHONES, k=draw.randint(1, 6)))

    references = [[pronunciation() for _ in range(draw.randint(1, 4))] for _ in range(150)]
    hypotheses = [
        draw.choice(texts) if draw.random() < 0.5 else pronunciation() for texts in references
    ]
    return hypotheses, references


def distance_of_tensorflow(hypothesis, reference):
    def sparse(text):
        return tf.sparse.from_dense([text.split()])

    return float(tf.edit_distance(sparse(hypothesis), sparse(reference), normalize=False)[0])


def test_edit_distances_are_those_of_tensorflow(items):
    for hypothesis, references in zip(*items, strict=True):
        for reference in references:
            own = edit_distance(hypothesis.split(), reference.split())
            assert own == distance_of_tensorflow(hypothesis, reference)


def test_edit_distances_of_empty_sequences_and_of_letters():
    assert edit_distance([], []) == 0
    assert edit_distance([], "abc") == edit_distance("abc", []) == 3
    assert edit_distance("kitten", "sitting") == 3  # Wikipedia's example


def test_the_phone_error_rate_is_that_to_the_nearest_reference(items):
    errors, units = 0, 0
    for hypothesis, references in zip(*items, strict=True):
        distances = [distance_of_tensorflow(hypothesis, text) for text in references]
        errors += min(distances)
        units += len(references[int(np.argmin(distances))].split())
    scores = score_texts(*items, ["phone_error_rate"]).values
    assert scores == {"phone_error_rate": pytest.approx(errors / units)}


def test_a_word_is_wrong_if_it_equals_no_reference(items):
    right = sum(hypothesis in texts for hypothesis, texts in zip(*items, strict=True))
    scores = score_texts(*items, ["word_error_rate", "exact_match"]).values
    assert scores["word_error_rate"] == pytest.approx(1 - right / len(items[0]))
    assert scores["exact_match"] == pytest.approx(right / len(items[0]))


@pytest.mark.parametrize(
    ("hypothesis", "reference", "plain"),
    [
        ("AH1 B", "AH0 B", True),
        ("AH B", "AH2 B", True),
        ("ˈæ b", "æ b", True),
        ("AH1 B", "AH0 D", False),
        ("1 0", "0 1", False),  # no phones: digits alone stay
        ("A12 B", "A11 B", False),
    ],
)
def test_stress_is_left_out_where_the_name_says_so(hypothesis, reference, plain):
    scores = score_texts([hypothesis], [reference], list(ERROR_RATES)).values
    assert scores["word_error_rate"] == 1
    assert scores["word_error_rate_without_stress"] == float(not plain)
    assert (scores["phone_error_rate_without_stress"] == 0) == plain


def test_statistics_of_items_give_the_scores(items):
    rows = [
        {"prediction": hypothesis, "reference": texts[0], "references": texts}
        for hypothesis, texts in zip(*items, strict=True)
    ]
    names = [*ERROR_RATES, "exact_match"]
    statistics = item_statistics(rows, metrics=names)
    expected = score_texts(*items, names).values
    for name in names:
        statistic, from_sums = SCORES[name]
        [matrix] = statistics_matrices(statistic, statistics)
        assert float(from_sums(matrix.sum(0)[None])[0]) == pytest.approx(expected[name])
    assert set(item_statistics(rows)[0]) == {"exact_match"}
