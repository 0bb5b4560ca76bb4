import numpy as np
import pytest

from seq2seq.plots.classification import (
    OTHERS,
    confusion_matrix_figure,
    most_frequent,
    precision_recall_figure,
)
from seq2seq.plots.figure import save_figure
from seq2seq.plots.fonts import DEFAULT_FAMILY, _families, fonts_for

COUNTS = np.array([[5, 0, 1], [2, 1500, 0], [0, 0, 0]])
LABELS = ["VERB", "NOUN", "X"]


def written(axes):
    """The numbers in the cells, by reference and prediction."""
    columns = [label.get_text() for label in axes.get_xticklabels()]
    rows = [label.get_text() for label in axes.get_yticklabels()]
    return {
        (rows[int(y)], columns[int(x)]): text.get_text()
        for text in axes.texts
        for x, y in [text.get_position()]
    }


def test_cells_hold_counts_and_colours_are_shares_of_the_row():
    figure = confusion_matrix_figure(COUNTS, LABELS)
    axes = figure.axes[0]
    assert written(axes) == {
        ("NOUN", "NOUN"): "1.5k",
        ("NOUN", "VERB"): "2",
        ("VERB", "VERB"): "5",
        ("VERB", "X"): "1",
    }
    shares = axes.images[0].get_array()
    np.testing.assert_allclose(shares[1], [0, 5 / 6, 1 / 6])
    np.testing.assert_allclose(shares[2], 0)


def test_many_labels_are_put_together_and_no_count_is_lost():
    random = np.random.default_rng(0)
    counts = random.integers(1, 9, (50, 50))
    labels = [f"label {number}" for number in range(50)]
    merged, names = most_frequent(counts, labels, 10)
    assert merged.shape == (10, 10)
    assert names[-1] == OTHERS
    assert merged.sum() == counts.sum()
    order = [labels.index(name) for name in names[:-1]]
    np.testing.assert_array_equal(merged[:-1, :-1], counts[np.ix_(order, order)])
    assert counts.sum(axis=1)[order].min() >= np.sort(counts.sum(axis=1))[-9]
    assert len(confusion_matrix_figure(counts, labels).axes[0].get_xticklabels()) == 40


def test_labels_that_never_occur_are_left_out():
    assert most_frequent(np.diag([0, 3, 0]), LABELS, 10)[1] == ["NOUN"]


def test_labels_in_any_script_are_readable(monkeypatch, tmp_path, recwarn):
    only_default = {DEFAULT_FAMILY: _families()[DEFAULT_FAMILY]}
    monkeypatch.setattr("seq2seq.plots.fonts._families", lambda: only_default)
    fonts_for.cache_clear()
    labels = ["か", "привет", "本"]
    confusion = confusion_matrix_figure(np.eye(3, dtype=int), labels)
    curves = precision_recall_figure(np.eye(3, dtype=int), np.eye(3), labels)
    for number, figure in enumerate((confusion, curves)):
        save_figure(figure, tmp_path / f"{number}.png")
    fonts_for.cache_clear()
    names = [label.get_text() for label in confusion.axes[0].get_yticklabels()]
    assert names == ["<ka>", "привет", "<672C>"]
    legend = [text.get_text() for text in curves.axes[0].get_legend().get_texts()]
    assert sorted(legend) == ["<672C>  1.000", "<ka>  1.000", "привет  1.000"]
    assert not [w for w in recwarn if "missing from font" in str(w.message)]


def test_it_can_be_written(tmp_path):
    save_figure(confusion_matrix_figure(COUNTS, LABELS), tmp_path / "confusion.png")
    assert (tmp_path / "confusion.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize("counts", [np.zeros((3, 3)), np.ones((2, 2)), np.ones(3)])
def test_what_cannot_be_drawn_is_refused(counts):
    with pytest.raises(ValueError, match="counts"):
        confusion_matrix_figure(counts, LABELS)
