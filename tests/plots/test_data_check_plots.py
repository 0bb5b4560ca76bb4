"""The figure of `seq2seq check` has the numbers that it is given."""

import numpy as np
import pytest

from seq2seq.plots.data_check import data_figure

LENGTHS = {"source": {"train": np.array([0, 2, 0, 6]), "test": np.array([0, 0, 5])}}
LABELS = {"train": {"a": 1, "b": 3}, "test": {"a": 2, "b": 2}}
UNKNOWN = {"train": {"source": 0.0}, "test": {"source": 0.25}}
DUPLICATES = {"train": {"duplicates": 0.5}, "test": {"duplicates": 0.1}}


def panels(figure):
    return {axes.get_title(loc="left"): axes for axes in figure.axes if axes.get_visible()}


def widths(axes):
    """Returns the lengths of the bars by split and name."""
    names = [label.get_text() for label in axes.get_yticklabels()]
    _, splits = axes.get_legend_handles_labels()
    return {
        (split, name): bar.get_width()
        for split, bars in zip(splits, axes.containers, strict=True)
        for name, bar in zip(names, bars, strict=True)
    }


def test_each_panel_shows_its_numbers():
    drawn = panels(data_figure(LENGTHS, LABELS, UNKNOWN, DUPLICATES))
    titles = ["length of source", "labels (at most 15)", "unknown tokens", "duplicates"]
    assert list(drawn) == titles
    steps = [patch.get_data() for patch in drawn["length of source"].patches]
    np.testing.assert_array_equal(steps[0].edges, [0, 1, 2, 3, 4])
    np.testing.assert_allclose(steps[0].values, [0, 25, 0, 75])
    np.testing.assert_allclose(steps[1].values, [0, 0, 100, 0])
    assert widths(drawn["labels (at most 15)"]) == {
        ("train", "b"): 75, ("train", "a"): 25, ("test", "b"): 50, ("test", "a"): 50
    }  # fmt: skip
    assert widths(drawn["unknown tokens"]) == {("train", "source"): 0, ("test", "source"): 25}
    assert widths(drawn["duplicates"]) == pytest.approx(
        {("train", "duplicates"): 50, ("test", "duplicates"): 10}
    )


def test_panels_without_numbers_are_left_out():
    nothing = {"train": {}, "test": {}}
    assert list(panels(data_figure(LENGTHS, nothing, nothing, DUPLICATES))) == [
        "length of source",
        "duplicates",
    ]
    with pytest.raises(ValueError, match="no column"):
        data_figure({}, nothing, nothing, DUPLICATES)
