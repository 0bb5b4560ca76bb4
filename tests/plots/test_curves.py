import math
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from seq2seq.plots.curves import learning_curves
from seq2seq.plots.figure import save_figure

HISTORY = {
    "target_tokens_per_second": [(10, 18_000.0), (20, 18_500.0)],
    "loss": [(10, 4.0), (20, 2.0), (30, 1.5)],
    "val_bleu": [(20, 12.0), (30, 11.0)],
    "val_loss": [(20, 2.5), (30, 2.75)],
    "coverage": [(30, 0.5)],
}


def panels(figure):
    """Title of each panel to the data of its lines."""
    return {
        axes.get_title(loc="left"): [line.get_xydata().tolist() for line in axes.lines]
        for axes in figure.axes
    }


def best(figure, title):
    """The best validation value, above the right end of a panel."""
    (axes,) = [axes for axes in figure.axes if axes.get_title(loc="left") == title]
    return axes.get_title(loc="right")


def test_a_panel_for_each_metric_in_the_order_of_interest():
    figure = learning_curves(HISTORY)
    assert list(panels(figure)) == [
        "Loss",
        "BLEU",
        "Coverage",
        "Target tokens per second",
    ]
    [legend] = figure.legends
    assert [text.get_text() for text in legend.get_texts()] == ["training", "validation"]


def test_training_and_validation_share_a_panel():
    training, validation, marked = panels(learning_curves(HISTORY))["Loss"]
    assert training == [[10, 4], [20, 2], [30, 1.5]]
    assert validation == [[20, 2.5], [30, 2.75]]
    assert marked == [[20, 2.5]]


def test_the_best_is_the_lowest_loss_and_the_highest_score():
    figure = learning_curves(HISTORY)
    assert best(figure, "Loss") == "best 2.5"
    assert best(figure, "BLEU") == "best 12"
    assert best(figure, "Coverage") == ""


def test_values_that_are_not_finite_are_left_out():
    history = {"loss": [(1, math.nan), (2, 1.0), (3, math.inf)], "val_loss": [(3, math.nan)]}
    assert panels(learning_curves(history)) == {"Loss": [[[2, 1.0]]]}
    with pytest.raises(ValueError, match="no finite value"):
        learning_curves({"loss": [(1, math.nan)], "val_loss": []})


def test_a_long_curve_is_smoothed():
    steps = np.arange(400)
    values = np.random.default_rng(1).normal(size=400)
    raw, smooth = panels(learning_curves({"loss": list(zip(steps, values, strict=True))}))["Loss"]
    assert raw == np.stack([steps, values], axis=1).tolist()
    window = 400 // 40
    for step in (0, 3, 200, 399):
        first = max(0, step - window // 2)
        average = values[first : step + (window - 1) // 2 + 1].mean()
        assert smooth[step] == pytest.approx([step, average])


def test_perplexities_far_apart_get_a_logarithmic_axis():
    far = learning_curves({"perplexity": [(1, 9000.0), (2, 9.0)]})
    near = learning_curves({"perplexity": [(1, 9.0), (2, 8.0)]})
    assert far.axes[0].get_yscale() == "log"
    assert far.axes[0].get_ylabel() == "log scale"
    assert near.axes[0].get_yscale() == "linear"


@pytest.mark.parametrize(
    ("metric", "values"), [("accuracy", (0.01, 0.99)), ("f1", (0.0, 1.0)), ("loss", (0.0, 3.0))]
)
def test_no_axis_goes_beyond_what_a_metric_can_be(metric, values):
    [axes] = learning_curves({f"val_{metric}": list(enumerate(values))}).axes
    bottom, top = axes.get_ylim()
    assert bottom >= 0
    assert top <= 1 or metric == "loss"


@given(
    st.dictionaries(
        st.sampled_from(["loss", "val_loss", "perplexity", "val_bleu", "learning_rate", "x_$y"]),
        st.lists(st.tuples(st.integers(0, 10**7), st.floats(width=32)), max_size=5),
        min_size=1,
    )
)
@settings(max_examples=8, deadline=None)
def test_whatever_a_training_logs_can_be_drawn(tmp_path_factory, history):
    if any(math.isfinite(value) for curve in history.values() for _, value in curve):
        path = tmp_path_factory.mktemp("plots") / "curves.png"
        save_figure(learning_curves(history), path, dots_per_inch=30)
        assert path.read_bytes().startswith(b"\x89PNG")


def test_a_figure_is_written_whole_or_not_at_all(tmp_path):
    path = tmp_path / "plots" / "curves.png"
    figure = learning_curves(HISTORY)
    save_figure(figure, path)
    before = path.read_bytes()
    figure.savefig = lambda aside, **_: aside.write_bytes(b"half") and 1 / 0
    with pytest.raises(ZeroDivisionError):
        save_figure(figure, path)
    assert path.read_bytes() == before


def test_pyplot_with_its_global_state_is_not_used():
    program = (
        "import sys; from seq2seq.plots.curves import learning_curves;"
        "learning_curves({'loss': [(1, 1.0)]}); print('matplotlib.pyplot' in sys.modules)"
    )
    command = [sys.executable, "-c", program]
    assert subprocess.run(command, capture_output=True, text=True, check=True).stdout == "False\n"
