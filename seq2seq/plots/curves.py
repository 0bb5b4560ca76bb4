"""Learning curves of one training."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.lines import Line2D
from matplotlib.ticker import EngFormatter, LogLocator, MaxNLocator, NullLocator

from seq2seq.plots.figure import COLOURS, figure_style, style_axes
from seq2seq.scores import LOWER_IS_BETTER, number

Curve = Sequence[tuple[int, float]]
"""Pairs of step and value."""

VALIDATION_PREFIX = "val_"
TITLES = {"bleu": "BLEU", "chrf": "chrF", "chrf++": "chrF++", "ter": "TER", "f1": "F1"}
# The order of the panels; other metrics come in between.
FIRST = ("loss", "perplexity", "bleu", "chrf", "exact_match", "accuracy", "f1")
LAST = ("learning_rate", "gradient_norm", "target_tokens_per_second")
FROM_ZERO = ("learning_rate", "target_tokens_per_second")
SHARES = ("exact_match", "accuracy", "f1", "f1_micro", "f1_macro", "precision", "recall",
          "word_error_rate", "word_error_rate_without_stress")  # fmt: skip
"""Metrics from 0 to 1."""

TRAINING_COLOUR, VALIDATION_COLOUR = COLOURS[:2]
PANEL_WIDTH, PANEL_HEIGHT, LEGEND_HEIGHT = 4.4, 2.7, 0.4  # inches
MAX_COLUMNS = 3
MAX_RAW_POINTS = 150
"""A training curve of more points is drawn with its moving average."""


@figure_style()
def learning_curves(history: Mapping[str, Curve]) -> Figure:
    """Draws one small panel for each metric, with training and validation in the same panel.

    The best validation value is marked. Values that are not finite are left out, and so are
    metrics without finite values.

    `history` is metric name to `(step, value)` pairs; the prefix `val_` marks the validation curve
    of a metric.

    Raises:
        ValueError: If no metric has a finite value.
    """
    curves = {name: points for name, curve in history.items() if len(points := _finite(curve))}
    metrics = sorted({name.removeprefix(VALIDATION_PREFIX) for name in curves}, key=_rank)
    if not metrics:
        raise ValueError("The history holds no finite value to draw.")
    rows = math.ceil(len(metrics) / MAX_COLUMNS)
    columns = math.ceil(len(metrics) / rows)
    size = columns * PANEL_WIDTH, rows * PANEL_HEIGHT + LEGEND_HEIGHT
    figure = Figure(figsize=size, layout=ConstrainedLayoutEngine(w_pad=0.12, h_pad=0.1))
    last_step = max(1, *(points[-1, 0] for points in curves.values()))
    for position, metric in enumerate(metrics, start=1):
        axes = figure.add_subplot(rows, columns, position)
        _draw_panel(axes, metric, curves.get(metric), curves.get(VALIDATION_PREFIX + metric))
        _style_panel(axes, metric, last_step, in_last_row=position > len(metrics) - columns)
    if any(VALIDATION_PREFIX + metric in curves for metric in metrics):
        colours = {"training": TRAINING_COLOUR, "validation": VALIDATION_COLOUR}
        figure.legend(
            handles=[Line2D([], [], color=colour, label=name) for name, colour in colours.items()],
            loc="outside upper right", ncols=2, labelcolor="linecolor", handlelength=0,
            columnspacing=1, prop={"size": 12, "weight": "bold"},
        )  # fmt: skip
    return figure


def _finite(curve: Curve) -> np.ndarray:
    """Returns the finite points by step, `(points, 2)`."""
    points = np.array(sorted(curve), dtype=float).reshape(-1, 2)
    return points[np.isfinite(points).all(axis=1)]


def _rank(metric: str) -> tuple[int, int, str]:
    if metric in FIRST:
        return 0, FIRST.index(metric), metric
    if metric in LAST:
        return 2, LAST.index(metric), metric
    return 1, 0, metric


def _draw_panel(
    axes: Axes, metric: str, training: np.ndarray | None, validation: np.ndarray | None
) -> None:
    """Draws the curves of one metric, each `(points, 2)`."""
    if training is not None and len(training) > MAX_RAW_POINTS and metric != "learning_rate":
        axes.plot(*training.T, color=TRAINING_COLOUR, linewidth=0.7, alpha=0.3)
        axes.plot(*_moving_average(training).T, color=TRAINING_COLOUR, linewidth=1.6)
    elif training is not None:
        axes.plot(*training.T, color=TRAINING_COLOUR, linewidth=1.6, **_marker(training))
    if validation is not None:
        axes.plot(*validation.T, color=VALIDATION_COLOUR, linewidth=1.8, **_marker(validation))
        _mark_best(axes, validation, metric)
    values = np.concatenate(
        [points[:, 1] for points in (training, validation) if points is not None]
    )
    if metric == "perplexity" and values.min() > 0 and values.max() / values.min() > 20:
        axes.set_yscale("log")
        axes.set_ylabel("log scale")
    else:
        _limit(axes, metric, values)


def _limit(axes: Axes, metric: str, values: np.ndarray) -> None:
    """Leaves room above and below values, but not beyond what the metric can be."""
    axes.margins(y=0.15)
    bottom, top = axes.get_ylim()
    if metric in FROM_ZERO or (values.min() >= 0 and bottom < 0):
        axes.set_ylim(bottom=0)
    if metric in SHARES and values.max() <= 1:
        axes.set_ylim(top=min(top, 1))


def _marker(points: np.ndarray) -> dict[str, Any]:
    """Marks the points of short curves: a single point would be invisible otherwise."""
    return {"marker": "o", "markersize": 3, "clip_on": False} if len(points) <= 30 else {}


def _moving_average(points: np.ndarray) -> np.ndarray:
    """Averages over a fortieth of the points, `(points, 2)`, and over fewer at the ends."""
    window = np.ones(len(points) // 40)
    weights = np.convolve(np.ones(len(points)), window, mode="same")
    return np.stack(
        [points[:, 0], np.convolve(points[:, 1], window, mode="same") / weights], axis=1
    )


def _mark_best(axes: Axes, validation: np.ndarray, metric: str) -> None:
    best = np.argmin if metric in LOWER_IS_BETTER else np.argmax
    step, value = map(float, validation[best(validation[:, 1])])
    axes.plot(
        step, value, "o", color=VALIDATION_COLOUR, markersize=7, markerfacecolor="white",
        markeredgewidth=1.8, zorder=5, clip_on=False,
    )  # fmt: skip
    axes.set_title(
        f"best {number(value)}", loc="right", fontsize=9, color=VALIDATION_COLOUR,
    )  # fmt: skip


def _style_panel(axes: Axes, metric: str, last_step: float, in_last_row: bool) -> None:
    axes.set_title(TITLES.get(metric, metric.replace("_", " ").capitalize()))
    axes.set_xlim(0, last_step * 1.06)
    axes.xaxis.set_major_locator(MaxNLocator(5, integer=True))
    axes.xaxis.set_major_formatter(EngFormatter(sep=""))
    if in_last_row:
        axes.set_xlabel("training step")
    is_log = axes.get_yscale() == "log"
    axes.yaxis.set_major_locator(LogLocator(subs=(1, 3)) if is_log else MaxNLocator(5))
    axes.yaxis.set_minor_locator(NullLocator())
    is_large = axes.get_ylim()[1] >= 1000
    axes.yaxis.set_major_formatter(EngFormatter(sep="") if is_large else "{x:g}")
    style_axes(axes)
