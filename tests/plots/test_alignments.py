"""Heat maps of alignments: values, positions and fonts of the labels."""

import numpy as np
import pytest
from matplotlib import font_manager
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.ft2font import FT2Font

from seq2seq.plots.alignments import alignment_heatmap
from seq2seq.plots.figure import save_figure
from seq2seq.plots.fonts import DEFAULT_FAMILY, fonts_for

WEIGHTS = [[0.9, 0.1, 0.0], [0.2, 0.3, 0.5]]


def labels(axis):
    return [label.get_text() for label in axis.get_ticklabels()]


def test_rows_are_target_tokens_and_columns_source_tokens():
    figure = alignment_heatmap(WEIGHTS, ["a", "$b$", "c_d"], ["x", "</s>"])
    axes, colour_bar = figure.axes
    assert colour_bar.get_ylabel() == "attention weight"
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("source token", "target token")
    np.testing.assert_array_equal(axes.images[0].get_array(), WEIGHTS)
    assert labels(axes.xaxis) == ["a", "$b$", "c_d"]
    assert labels(axes.yaxis) == ["x", "</s>"]
    FigureCanvasAgg(figure).draw()
    tops = [label.get_window_extent().y0 for label in axes.get_yticklabels()]
    assert tops[0] > tops[1]  # read downwards


def test_nothing_is_cut_off():
    figure = alignment_heatmap(WEIGHTS, ["w" * 60, "b", "c"], ["m" * 60, "</s>"])
    FigureCanvasAgg(figure).draw()
    for label in (*figure.axes[0].get_xticklabels(), *figure.axes[0].get_yticklabels()):
        box = label.get_window_extent()
        assert box.x0 >= 0
        assert box.y1 <= figure.bbox.y1


def test_characters_without_a_font_are_named(monkeypatch, recwarn, tmp_path):
    monkeypatch.setattr("seq2seq.plots.fonts._families", only_first_choice())
    fonts_for.cache_clear()
    figure = alignment_heatmap([[1, 0], [0, 1]], ["か本", "ß"], ["a\u200b", "привет"])
    save_figure(figure, tmp_path / "a.png")
    fonts_for.cache_clear()
    assert labels(figure.axes[0].xaxis) == ["<ka><672C>", "ß"]
    assert labels(figure.axes[0].yaxis) == ["a<space>", "привет"]
    assert not [w for w in recwarn if "missing from font" in str(w.message)]


def only_first_choice():
    from seq2seq.plots.fonts import _families

    entry = {DEFAULT_FAMILY: _families()[DEFAULT_FAMILY]}
    return lambda: entry


def test_a_font_is_found_for_what_the_first_choice_lacks():
    assert fonts_for("abc") == [DEFAULT_FAMILY]
    [_, family] = fonts_for("\u2340")
    characters = FT2Font(font_manager.findfont(family)).get_charmap()
    assert 0x2340 in characters


def test_of_many_tokens_some_are_labelled():
    figure = alignment_heatmap(np.zeros((2, 400)), [str(n) for n in range(400)], ["x", "y"])
    assert labels(figure.axes[0].xaxis)[:2] == ["0", "4"]
    assert max(figure.get_size_inches()) < 20


@pytest.mark.parametrize(("source", "target"), [(["a"], ["x", "y"]), ([], [])])
def test_what_does_not_fit_is_refused(source, target):
    with pytest.raises(ValueError, match="weights"):
        alignment_heatmap(WEIGHTS if target else [], source, target)
