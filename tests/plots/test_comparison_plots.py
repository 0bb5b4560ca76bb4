"""What the pictures of comparisons and sweeps show."""

import math

import numpy as np
import pytest

from seq2seq.plots.comparison import difference_intervals, scores_by_part, variant_curves
from seq2seq.plots.figure import save_figure
from seq2seq.plots.sweeps import importance_bars, parallel_coordinates


def history(offset, *, seconds=True):
    return [
        {"step": 10 * n, "val_loss": offset / n, **({"seconds": 60.0 * n} if seconds else {})}
        for n in (1, 2, 3)
    ]


def test_seeds_are_thin_lines_around_their_mean():
    figure = variant_curves({"a": [history(2.0), history(4.0)], "b": [history(9.0)]}, "val_loss")
    steps, minutes = figure.axes
    assert steps.get_xlabel() == "training steps"
    assert minutes.get_xlabel() == "minutes"
    one, other, mean, alone = (line.get_ydata() for line in steps.lines)
    np.testing.assert_allclose(mean, (one + other) / 2)
    np.testing.assert_allclose(alone, [9.0, 4.5, 3.0])
    np.testing.assert_allclose(minutes.lines[0].get_xdata(), [1, 2, 3])


def test_an_axis_that_no_run_knows_is_left_out():
    figure = variant_curves({"a": [history(1.0, seconds=False)]}, "val_loss")
    assert len(figure.axes) == 1
    with pytest.raises(ValueError, match="val_bleu"):
        variant_curves({"a": [history(1.0)]}, "val_bleu")


def test_bars_and_intervals(tmp_path):
    figure = scores_by_part(
        "length", "bleu", ["1-5", "6-9"], [3, 4], {"a": [1.0, 2.0], "b": [3.0, math.nan]}
    )
    heights = [bar.get_height() for bar in figure.axes[0].patches]
    assert heights == [1.0, 2.0, 3.0, 0.0]
    save_figure(figure, tmp_path / "bars.png", dots_per_inch=30)
    figure = difference_intervals("bleu", ["a", "b"], [1.0, 0.1], np.array([[0.5, 2], [-1, 1]]))
    xs = [np.asarray(line.get_xdata()).tolist() for line in figure.axes[0].lines]
    ends = [x for x in xs if len(x) > 1]
    assert ends[:2] == [[0.5, 2.0], [-1.0, 1.0]]


def test_each_trial_is_a_line_and_the_best_is_on_top(tmp_path):
    trials = [{"rate": 0.001, "cell": "lstm"}, {"rate": 0.1, "cell": "gru"},
              {"rate": 0.01, "cell": "lstm"}]  # fmt: skip
    figure = parallel_coordinates(trials, [3.0, 1.0, 2.0], "val_loss", True, ["rate"])
    lines = [line.get_ydata() for line in figure.axes[0].lines if len(line.get_xdata()) == 3]
    np.testing.assert_allclose(lines[0], [0, 1, 1])  # the worst, below
    np.testing.assert_allclose(lines[1], [0.5, 1, 0.5])  # half-way on the logarithmic scale
    np.testing.assert_allclose(lines[2], [1, 0, 0])
    save_figure(figure, tmp_path / "lines.png", dots_per_inch=30)
    alone = parallel_coordinates(trials[:1], [3.0], "val_loss", True)
    save_figure(alone, tmp_path / "alone.png", dots_per_inch=30)
    with pytest.raises(ValueError, match="trials"):
        parallel_coordinates([], [], "val_loss", True)


def test_importance_is_sorted():
    figure = importance_bars({"a": 0.2, "b": 0.8}, "val_loss")
    assert [bar.get_width() for bar in figure.axes[0].patches] == [0.2, 0.8]
