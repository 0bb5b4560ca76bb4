"""Significance against sacreBLEU's command, SciPy, and hand-made numbers."""

import random
import re
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sacrebleu.metrics import BLEU, CHRF
from scipy.stats import binomtest, permutation_test, ttest_ind

from seq2seq.evaluation.significance import (
    accuracy_test,
    holm,
    mcnemar,
    mean_and_deviation,
    paired_test,
    paired_text_test,
    welch_p_value,
)

WORDS = [
    "ein",
    "mann",
    "eine",
    "frau",
    "der",
    "hund",
    "geht",
    "läuft",
    "steht",
    "im",
    "park",
    "mit",
    "ball",
    ".",
]


@pytest.fixture(scope="module")
def corpus():
    """References, and two systems that spoil some of their words."""
    draw = random.Random(1)
    references = [draw.choices(WORDS, k=draw.randint(5, 12)) for _ in range(80)]

    def spoil(share):
        return [
            " ".join(draw.choice(WORDS) if draw.random() < share else word for word in line)
            for line in references
        ]

    return [" ".join(line) for line in references], spoil(0.3), spoil(0.35)


@pytest.mark.parametrize(
    ("kind", "flag", "count"),
    [("bootstrap", "bs", 1), ("randomisation", "ar", 1), ("randomisation", "ar", 2)],
)
def test_text_has_the_digits_of_sacrebleu(corpus, tmp_path, kind, flag, count):
    streams = [corpus[0], corpus[1][1:] + corpus[1][:1]][:count]
    files = {"a": corpus[1], "b": corpus[2], **{f"ref{n}": s for n, s in enumerate(streams)}}
    for name, lines in files.items():
        (tmp_path / name).write_text("".join(f"{line}\n" for line in lines))
    command = [sys.executable, "-m", "sacrebleu", *(f"ref{n}" for n in range(count))]
    options = ["-i", "a", "b", "-m", "bleu", "chrf"]
    options += ["--tokenize", "none", "--force", f"--paired-{flag}", "-f", "text"]
    options += [f"--paired-{flag}-n", "300"]
    printed = subprocess.run(
        [*command, *options], cwd=tmp_path, capture_output=True, text=True, check=True
    ).stdout
    row = next(line for line in printed.splitlines() if re.search(r"[│|]\s+b\s+[│|]", line))
    expected = [float(number) for number in re.findall(r"p = ([\d.]+)", printed)]
    for number, (name, metric) in enumerate(
        {"bleu": BLEU(tokenize="none", force=True), "chrf": CHRF()}.items()
    ):
        references = list(zip(*streams, strict=True))
        result = paired_text_test(name, metric, references, *corpus[1:], resamples=300, trials=300)
        assert f"{result.p_values[kind]:.4f}" == f"{expected[number]:.4f}"
        assert f"{result.system:.1f}" in row or f"{result.system:.1f}" in printed
        assert result.low < result.difference < result.high


def test_randomisation_of_hits_is_mcnemars_test_with_all_its_swaps():
    draw = np.random.default_rng(0)
    baseline = draw.random(200) < 0.6
    system = np.where(draw.random(200) < 0.2, draw.random(200) < 0.85, baseline)
    result = accuracy_test(baseline, system, "accuracy")
    assert 0.001 < result.p_values["mcnemar"] < 0.5
    assert result.p_values["randomisation"] == pytest.approx(result.p_values["mcnemar"], abs=0.015)
    differences = system.astype(float) - baseline
    assert result.difference == pytest.approx(differences.mean())
    normal = 1.96 * differences.std() / np.sqrt(200)
    assert result.low == pytest.approx(differences.mean() - normal, abs=0.01)
    assert result.high == pytest.approx(differences.mean() + normal, abs=0.01)


def test_randomisation_of_sums_is_scipys_permutation_test():
    draw = np.random.default_rng(0)
    one = draw.normal(size=(60, 1))
    other = one + draw.normal(0.2, 1.0, size=(60, 1))
    result = paired_test("sum", one, other, lambda sums: sums[:, 0])
    expected = permutation_test(
        (other[:, 0], one[:, 0]),
        lambda x, y: np.sum(x) - np.sum(y),
        permutation_type="samples",
        rng=np.random.default_rng(1),
    )
    assert 0.001 < expected.pvalue < 0.9
    assert result.p_values["randomisation"] == pytest.approx(expected.pvalue, abs=0.02)


@settings(derandomize=True, deadline=None, max_examples=25)
@given(st.lists(st.tuples(st.booleans(), st.booleans()), min_size=1, max_size=60))
def test_mcnemar_is_the_binomial_of_what_only_one_gets_right(pairs):
    baseline, system = np.array(pairs).T
    wins, losses = int((system & ~baseline).sum()), int((baseline & ~system).sum())
    expected = binomtest(wins, wins + losses).pvalue if wins + losses else 1.0
    assert mcnemar(baseline, system) == pytest.approx(expected)
    assert mcnemar(baseline, system) == pytest.approx(mcnemar(system, baseline))


def test_equal_systems_do_not_differ():
    hits = np.array([True, False, True, True])
    result = accuracy_test(hits, hits, "accuracy")
    assert (result.difference, result.low, result.high) == (0, 0, 0)
    assert set(result.p_values.values()) == {1.0}


def test_shapes_must_agree():
    with pytest.raises(ValueError, match="system"):
        paired_test("x", np.zeros((3, 1)), np.zeros((4, 1)), lambda sums: sums[:, 0])


def test_holm_of_a_textbook():
    # Holm (1979): 0.01, 0.04, 0.03, 0.005 -> times 3, 1, 2, 4, and never falling.
    np.testing.assert_allclose(holm([0.01, 0.04, 0.03, 0.005]), [0.03, 0.06, 0.06, 0.02])
    assert holm([]) == []
    assert holm([0.9, 0.8]) == [1.0, 1.0]


def test_seeds():
    one, other = [24.1, 24.6, 23.9], [29.8, 30.1, 29.5]
    assert welch_p_value(one, other) == pytest.approx(ttest_ind(one, other, equal_var=False).pvalue)
    assert welch_p_value(one, [30.0]) is None
    assert welch_p_value([1.0, 1.0], [2.0, 2.0]) is None
    assert mean_and_deviation([1.0, 3.0]) == (2.0, pytest.approx(2**0.5))
    assert mean_and_deviation([1.0]) == (1.0, None)
