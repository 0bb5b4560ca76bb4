"""Reliability diagrams and precision-recall curves show the right numbers."""

import numpy as np
import pytest

from seq2seq.plots.classification import MAX_NAMED, precision_recall_figure, reliability_figure
from seq2seq.plots.figure import save_figure


def test_reliability_draws_the_share_that_is_right(tmp_path):
    probabilities = np.array([0.95, 0.95, 0.95, 0.95, 0.55, 0.55])
    outcomes = np.array([1, 1, 1, 0, 1, 0])
    figure = reliability_figure(probabilities, outcomes, bins=10)
    upper, lower = figure.axes
    x, y = upper.lines[1].get_data()
    np.testing.assert_allclose(x, [0.55, 0.95])
    np.testing.assert_allclose(y, [0.5, 0.75])
    assert sum(bar.get_height() for bar in lower.patches) == 6
    save_figure(figure, tmp_path / "r.png")
    assert (tmp_path / "r.png").stat().st_size > 5_000


def test_perfect_precision(tmp_path):
    references = np.eye(3, dtype=int)[[0, 1, 2, 1]]
    figure = precision_recall_figure(references, references * 0.8 + 0.1, ["a", "b", "c"])
    [axes] = figure.axes
    names = [text.get_text() for text in axes.get_legend().get_texts()]
    assert sorted(names) == ["a  1.000", "b  1.000", "c  1.000"]
    save_figure(figure, tmp_path / "p.png")


def test_of_many_classes_the_worst_are_named():
    random = np.random.default_rng(1)
    references = np.eye(20, dtype=int)[random.integers(0, 20, 400)]
    quality = np.linspace(0, 1, 20)
    probabilities = references * quality + random.random((400, 20))
    figure = precision_recall_figure(references, probabilities, [f"c{n}" for n in range(20)])
    names = [t.get_text().split()[0] for t in figure.axes[0].get_legend().get_texts()]
    assert len(names) == MAX_NAMED
    assert "c0" in names
    assert "c19" not in names


def test_nothing_to_draw():
    with pytest.raises(ValueError, match="nothing to draw"):
        reliability_figure(np.zeros(0), np.zeros(0))
    with pytest.raises(ValueError, match="nothing to draw"):
        precision_recall_figure(np.zeros((2, 2)), np.zeros((2, 2)), ["a", "b"])
