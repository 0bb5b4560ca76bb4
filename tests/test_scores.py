import doctest
import math

import pytest

from seq2seq import scores
from seq2seq.scores import counted, main_score, number


def test_examples():
    assert doctest.testmod(scores).failed == 0


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (["bleu", "chrf", "exact_match", "loss", "perplexity"], "bleu"),
        (["exact_match", "loss", "perplexity"], "exact_match"),
        (["accuracy", "accuracy_unknown", "loss", "perplexity"], "accuracy"),
        (["accuracy", "f1", "precision", "recall"], "f1"),
        (["accuracy", "ece", "f1_macro", "f1_weighted", "mcc"], "accuracy"),
        (["bits_per_character", "nats_per_character", "perplexity"], "nats_per_character"),
        (["loss", "perplexity", "share_of_vowels"], "share_of_vowels"),
        (["loss", "perplexity"], "perplexity"),
    ],
)
def test_main_score(names, expected):
    assert main_score(names) == expected


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (1.502e4, "15,020"),
        (999.96, "1,000"),
        (-0.5, "-0.5"),
        (0.0, "0"),
        (1e-9, "1e-09"),
        (100, "100"),
    ],
)
def test_numbers(value, text):
    assert number(value) == text


def test_numbers_that_are_not_finite():
    assert [number(value) for value in (math.nan, math.inf)] == ["nan", "inf"]


def test_counts():
    assert [counted(1, "epoch"), counted(2, "epoch")] == ["1 epoch", "2 epochs"]
    assert counted(1250, "step") == "1,250 steps"
