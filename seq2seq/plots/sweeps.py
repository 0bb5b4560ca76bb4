"""What the values of a sweep have led to."""

from collections.abc import Mapping, Sequence

import matplotlib
import numpy as np
from matplotlib.cm import ScalarMappable
from matplotlib.colors import LogNorm, Normalize
from matplotlib.figure import Figure

from seq2seq.plots.curves import LINE_COLOUR, TEXT_COLOUR
from seq2seq.plots.fonts import plain_text

Value = str | float
MAX_LABEL = 16


@plain_text
def parallel_coordinates(
    trials: Sequence[Mapping[str, Value]],
    values: Sequence[float],
    metric: str,
    lower_is_better: bool,
    log_scale: Sequence[str] = (),
) -> Figure:
    """Draws each trial as a line from one parameter's value to the next, and to what it reached.

    Args:
        trials: The parameters of each trial, of the same names.
        values: What each reached.
        metric: What that is.
        lower_is_better: Whether less is better. The better, the darker the line.
        log_scale: Parameters that are drawn on a logarithmic scale.

    Raises:
        ValueError: If there is no trial.
    """
    if not trials:
        raise ValueError("trials: there is none to draw")
    names = list(trials[0])
    columns = [_column([t[name] for t in trials], name in log_scale) for name in names]
    columns.append(_column(list(values), False))
    figure = Figure(figsize=(2.2 + 1.7 * len(columns), 4.0), layout="constrained")
    axes = figure.add_subplot()
    heights = np.stack([column[0] for column in columns], axis=1)
    order = np.argsort(values if not lower_is_better else np.negative(values), kind="stable")
    norm = Normalize(min(values), max(values) + (min(values) == max(values)))
    colours = matplotlib.colormaps["viridis_r" if not lower_is_better else "viridis"]
    for trial in order:  # the best on top
        colour = colours(norm(values[trial]))
        axes.plot(heights[trial], color=colour, linewidth=1.8, alpha=0.85)
    best = order[-1]
    axes.plot(heights[best], "o", color=colours(norm(values[best])), markersize=6, zorder=5)
    for number, (_, ticks) in enumerate(columns):
        axes.axvline(number, color=LINE_COLOUR, linewidth=1.2, zorder=0)
        box = {"facecolor": "white", "alpha": 0.7, "edgecolor": "none", "pad": 0.6}
        for height, label in ticks:
            axes.annotate(label, (number, height), xytext=(4, 0), textcoords="offset points",
                          fontsize=7.5, color=TEXT_COLOUR, va="center", bbox=box,
                          zorder=6)  # fmt: skip
    labels = [name.rpartition(".")[2] if len(name) > 22 else name for name in names]
    axes.set_xticks(range(len(columns)), [*labels, metric])
    axes.get_xticklabels()[-1].set_fontweight("bold")
    axes.set_yticks([])
    axes.set_ylim(-0.05, 1.05)
    axes.set_xlim(-0.15, len(columns) - 0.6)
    axes.spines[:].set_visible(False)
    axes.tick_params(colors=TEXT_COLOUR, labelsize=9, length=0)
    figure.colorbar(ScalarMappable(norm, colours), ax=axes, label=metric, pad=0.01, aspect=30)
    return figure


def _column(values: Sequence[Value], log: bool) -> tuple[np.ndarray, list[tuple[float, str]]]:
    """Heights from 0 to 1, and labelled ticks."""
    numbers = _numbers(values)
    if numbers is None:
        known = sorted(set(map(str, values)))
        places = np.linspace(0, 1, len(known)) if len(known) > 1 else np.array([0.5])
        height = dict(zip(known, places, strict=True))
        heights = np.array([height[str(value)] for value in values])
        ticks = [(float(place), _short(name)) for name, place in height.items()]
        return heights, ticks
    low, high = float(numbers.min()), float(numbers.max())
    if low == high:
        return np.full(len(numbers), 0.5), [(0.5, f"{low:.4g}")]
    norm = LogNorm(low, high) if log and low > 0 else Normalize(low, high)
    distinct = np.unique(numbers)
    ticks_at = distinct if len(distinct) <= 6 else np.asarray(norm.inverse(np.linspace(0, 1, 6)))
    ticks = [(float(norm(tick)), f"{tick:.3g}") for tick in ticks_at]
    return np.asarray(norm(numbers)), ticks


def _numbers(values: Sequence[Value]) -> np.ndarray | None:
    try:
        return np.array([float(value) for value in values])
    except ValueError:
        return None


def _short(text: str) -> str:
    return text if len(text) <= MAX_LABEL else f"{text[: MAX_LABEL - 1]}…"


@plain_text
def importance_bars(importances: Mapping[str, float], metric: str) -> Figure:
    """Draws how much of a metric's spread each parameter explains.

    Args:
        importances: Parameter to share, 0 to 1.
        metric: The metric.
    """
    items = sorted(importances.items(), key=lambda item: item[1])
    figure = Figure(figsize=(6.4, 1.0 + 0.42 * len(items)), layout="constrained")
    axes = figure.add_subplot()
    axes.barh([name for name, _ in items], [share for _, share in items], 0.6, color="#3b6fb6")
    for row, (_, share) in enumerate(items):
        axes.annotate(f"{share:.2f}", (share, row), xytext=(5, 0), textcoords="offset points",
                      va="center", fontsize=9, color=TEXT_COLOUR)  # fmt: skip
    axes.set_xlim(0, 1.1 * max([share for _, share in items], default=1) or 1)
    axes.set_title(f"Importance for {metric}", loc="left", fontsize=10.5, fontweight="bold",
                   color=TEXT_COLOUR)  # fmt: skip
    axes.set_xticks([])
    axes.spines[:].set_visible(False)
    axes.tick_params(colors=TEXT_COLOUR, labelsize=9, length=0)
    return figure
