"""The verdict of a comparison, and the bins of lengths."""

import numpy as np
import pytest

from seq2seq.comparison.breakdown import length_bins
from seq2seq.comparison.compare import compare
from seq2seq.comparison.finished_run import read_run
from seq2seq.comparison.page import page
from seq2seq.comparison.report import markdown
from seq2seq.comparison.verdict import best_positions, verdict
from tests.comparison.made_up_runs import text_run


def compared(folder, **noise_of_cells):
    """Runs of several cells, each with a share of spoilt words."""
    return compare(
        [read_run(text_run(folder / c, c, noise=noise)) for c, noise in noise_of_cells.items()]
    )


def test_a_clear_winner_is_named_with_difference_and_evidence(tmp_path):
    comparison = compared(tmp_path, lstm=0.6, gru=0.2)
    sentence = verdict(comparison)
    assert sentence.startswith("B (encoder.cell=gru) beats A (encoder.cell=lstm) by ")
    assert sentence.endswith(" BLEU, p = 0.001 (paired bootstrap, 1,000 resamples).")
    assert best_positions(comparison, "loss") == [1]
    assert f'<p class="verdict">{sentence}</p>' in page(comparison)
    assert sentence in markdown(comparison).replace("\\", "")
    assert ' best">' in page(comparison)


def test_a_baseline_may_win(tmp_path):
    comparison = compared(tmp_path, lstm=0.1, gru=0.7, rnn=0.8)
    start = "A (encoder.cell=lstm) is best: it beats the next, B (encoder.cell=gru), by "
    assert verdict(comparison).startswith(start)
    assert "Holm-corrected" in verdict(comparison)


def test_a_small_difference_is_none(tmp_path):
    sentence = verdict(compared(tmp_path, lstm=0.3, gru=0.25))
    assert "does not differ significantly from A (encoder.cell=lstm) in BLEU" in sentence


def test_what_was_not_tested_says_so(tmp_path):
    runs = [text_run(tmp_path / "a"), text_run(tmp_path / "b", "gru", size=50, noise=0.1)]
    sentence = verdict(compare([read_run(run) for run in runs]))
    assert sentence.startswith("B (encoder.cell=gru) has the best BLEU, ")
    assert sentence.endswith("was not tested.")
    runs = [text_run(tmp_path / "c", seed=1), text_run(tmp_path / "d", seed=2)]
    assert verdict(compare([read_run(run) for run in runs])) == ""


@pytest.mark.parametrize(
    ("lengths", "names"),
    [
        (range(1, 61), ["1-10", "11-20", "21-30", "31-40", "41-50", "51-60"]),
        ([1, 1, 2, 3], ["1", "2", "3"]),
        ([5] * 99 + [400], ["5", "6+"]),
        ([7, 7], ["7"]),
        ([1] * 50 + [30] * 50, ["1-5", "26-30"]),  # none is empty
        ([0, 3], ["0", "3"]),
    ],
)
def test_bins_of_lengths_have_round_limits_and_none_is_empty(lengths, names):
    bins = length_bins(np.array(list(lengths)))
    assert list(bins) == names
    assert sum(map(len, bins.values())) == len(lengths)
