"""Labels of data are drawn literally: `$` starts no formula."""

import numpy as np
import pytest

from seq2seq.plots.classification import confusion_matrix_figure
from seq2seq.plots.figure import save_figure
from seq2seq.plots.states import state_map
from seq2seq.plots.sweeps import importance_bars

LABELS = [r"$\frac{", "$x$", r"\$5 and $6"]


def texts(figure):
    import matplotlib.text

    return [text.get_text() for text in figure.findobj(matplotlib.text.Text)]


@pytest.mark.parametrize(
    "draw",
    [
        lambda: confusion_matrix_figure(np.eye(3, dtype=int), LABELS),
        lambda: importance_bars(dict.fromkeys(LABELS, 0.3), LABELS[0]),
        lambda: state_map(np.random.default_rng(0).normal(size=(3, 2)), LABELS, LABELS[0]),
    ],
)
def test_labels_are_no_formulas(draw, tmp_path):
    figure = draw()
    save_figure(figure, tmp_path / "figure.png")
    assert (tmp_path / "figure.png").stat().st_size > 1000
    assert any(r"\frac{" in text for text in texts(figure))
