"""Learning curves: what a training did, at a glance."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.ticker import EngFormatter, LogLocator, MaxNLocator, NullLocator

from seq2seq.plots.fonts import plain_text

Curve = Sequence[tuple[int, float]]

VALIDATION_PREFIX = "val_"
TITLES = {"bleu": "BLEU", "chrf": "chrF", "chrf++": "chrF++", "ter": "TER", "f1": "F1"}
# What is looked at first stands first; what the machine did stands last.
FIRST = ("loss", "perplexity", "bleu", "chrf", "exact_match", "accuracy", "f1")
LAST = ("learning_rate", "gradient_norm", "target_tokens_per_second")
FROM_ZERO = ("learning_rate", "target_tokens_per_second")
LOWER_IS_BETTER = ("loss", "perplexity", "ter", "mae", "rmse")

TRAINING_COLOUR = "#5b7fa6"
VALIDATION_COLOUR = "#d1495b"
TEXT_COLOUR = "#3b424a"
LINE_COLOUR = "#c9ced4"
PANEL_WIDTH, PANEL_HEIGHT, HEAD_HEIGHT = 4.4, 2.7, 0.6
MAX_COLUMNS = 3
MANY_POINTS = 150


@plain_text
def learning_curves(history: Mapping[str, Curve], title: str = "") -> Figure:
    """Draws one small panel for each metric, with training and validation in the same panel.

    The best validation value is marked. Values that are not finite are left out, and so are
    metrics that have no others. A training curve of many points is drawn with its moving average.

    Example:
        >>> figure = learning_curves({"loss": [(1, 2.0), (2, 1.5)], "val_loss": [(2, 1.7)]})
        >>> save_figure(figure, Path("plots/learning_curves.png"))

    Args:
        history: Metric name to `(step, value)` pairs. `val_` before a name makes it the validation
            curve of that metric.
        title: What stands above the panels, such as the name of the recipe.

    Returns:
        The figure. It knows nothing of pyplot, so it needs no closing.

    Raises:
        ValueError: No metric has a finite value.
    """
    curves = {name: points for name, curve in history.items() if len(points := _finite(curve))}
    metrics = sorted({name.removeprefix(VALIDATION_PREFIX) for name in curves}, key=_rank)
    if not metrics:
        raise ValueError("The history holds no finite value to draw.")
    rows = math.ceil(len(metrics) / MAX_COLUMNS)
    columns = math.ceil(len(metrics) / rows)
    height = rows * PANEL_HEIGHT + HEAD_HEIGHT
    layout = ConstrainedLayoutEngine(
        rect=(0, 0, 1, 1 - HEAD_HEIGHT / height), w_pad=0.12, h_pad=0.1
    )
    figure = Figure(figsize=(columns * PANEL_WIDTH, height), layout=layout)
    last_step = max(1, *(points[-1, 0] for points in curves.values()))
    for position, metric in enumerate(metrics, start=1):
        axes = figure.add_subplot(rows, columns, position)
        training, validation = curves.get(metric), curves.get(VALIDATION_PREFIX + metric)
        _draw_panel(axes, metric, training, validation)
        _dress_panel(axes, metric, last_step, is_lowest=position > len(metrics) - columns)
    _draw_head(figure, title, has_validation=any(VALIDATION_PREFIX + m in curves for m in metrics))
    return figure


def _finite(curve: Curve) -> np.ndarray:
    """The finite points by step, shape `(points, 2)`."""
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
    """Draws the curves of one metric, each of shape `(points, 2)`."""
    is_noisy = training is not None and len(training) > MANY_POINTS and metric != "learning_rate"
    if training is not None and is_noisy:
        axes.plot(*training.T, color=TRAINING_COLOUR, linewidth=0.7, alpha=0.3)
        axes.plot(*_moving_average(training).T, color=TRAINING_COLOUR, linewidth=1.6)
    elif training is not None:
        axes.plot(*training.T, color=TRAINING_COLOUR, linewidth=1.6, **_marker(training))
    if validation is not None:
        axes.plot(*validation.T, color=VALIDATION_COLOUR, linewidth=1.8, **_marker(validation))
        _mark_best(axes, validation, metric)
    values = np.concatenate([each[:, 1] for each in (training, validation) if each is not None])
    if metric == "perplexity" and values.min() > 0 and values.max() / values.min() > 20:
        axes.set_yscale("log")


def _marker(points: np.ndarray) -> dict[str, Any]:
    """A curve of one point would be invisible without a marker."""
    return {"marker": "o", "markersize": 3} if len(points) <= 30 else {}


def _moving_average(points: np.ndarray) -> np.ndarray:
    """Averages over a fortieth of the points, shape `(points, 2)`; shorter windows at the ends."""
    window = np.ones(len(points) // 40)
    weights = np.convolve(np.ones(len(points)), window, mode="same")
    return np.stack(
        [points[:, 0], np.convolve(points[:, 1], window, mode="same") / weights], axis=1
    )


def _mark_best(axes: Axes, validation: np.ndarray, metric: str) -> None:
    pick = np.argmin if metric in LOWER_IS_BETTER else np.argmax
    step, value = validation[pick(validation[:, 1])]
    axes.plot(
        step, value, "o", color=VALIDATION_COLOUR, markersize=7, markerfacecolor="white",
        markeredgewidth=1.8, zorder=5,
    )  # fmt: skip
    axes.annotate(
        f"{value:.4g}", (step, value), xytext=(0, 8), textcoords="offset points", ha="center",
        fontsize=9, fontweight="bold", color=VALIDATION_COLOUR, zorder=6,
    )  # fmt: skip


def _dress_panel(axes: Axes, metric: str, last_step: float, is_lowest: bool) -> None:
    axes.set_title(
        TITLES.get(metric, metric.replace("_", " ").capitalize()),
        loc="left", fontsize=10.5, fontweight="bold", color=TEXT_COLOUR,
    )  # fmt: skip
    axes.margins(y=0.15)
    axes.set_xlim(0, last_step * 1.06)
    axes.xaxis.set_major_locator(MaxNLocator(5, integer=True))
    axes.xaxis.set_major_formatter(EngFormatter(sep=""))
    if is_lowest:
        axes.set_xlabel("training step", fontsize=9, color=TEXT_COLOUR)
    if metric in FROM_ZERO:
        axes.set_ylim(bottom=0)
    is_log = axes.get_yscale() == "log"
    axes.yaxis.set_major_locator(LogLocator(subs=(1, 3)) if is_log else MaxNLocator(5))
    axes.yaxis.set_minor_locator(NullLocator())
    is_large = axes.get_ylim()[1] >= 1000
    axes.yaxis.set_major_formatter(EngFormatter(sep="") if is_large else "{x:g}")
    axes.grid(axis="y", color=LINE_COLOUR, linewidth=0.6, alpha=0.7)
    axes.set_axisbelow(True)
    axes.spines[["top", "right", "left"]].set_visible(False)
    axes.spines["bottom"].set_color(LINE_COLOUR)
    axes.tick_params(colors=TEXT_COLOUR, labelsize=8.5, length=0)


def _draw_head(figure: Figure, title: str, has_validation: bool) -> None:
    """Writes the title and, as a legend, the two words in the colours of their curves."""
    top = 1 - 0.14 / figure.get_figheight()
    left = 0.14 / figure.get_figwidth()
    style: dict[str, Any] = {"va": "top", "fontsize": 12, "fontweight": "bold"}
    figure.text(left, top, title, color=TEXT_COLOUR, **style)
    if has_validation:
        right = 1 - left
        figure.text(right, top, "validation", color=VALIDATION_COLOUR, ha="right", **style)
        gap = 1.08 / figure.get_figwidth()
        figure.text(right - gap, top, "training", color=TRAINING_COLOUR, ha="right", **style)
