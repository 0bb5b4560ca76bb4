"""Figures of sweeps: the values of the trials, and the importance of each parameter.

`optuna.visualization.matplotlib` draws into pyplot's global state only, and shortens no label.
"""

from collections.abc import Mapping, Sequence

import matplotlib
import numpy as np
from matplotlib.cm import ScalarMappable
from matplotlib.colors import LogNorm, Normalize
from matplotlib.figure import Figure

from seq2seq.plots.figure import COLOURS, LINE_COLOUR, figure_style
from seq2seq.plots.fonts import drawable, fonts_for

Value = str | float
MAX_LABEL = 16


@figure_style()
def parallel_coordinates(
    trials: Sequence[Mapping[str, Value]],
    values: Sequence[float],
    metric: str,
    lower_is_better: bool,
    log_scale: Sequence[str] = (),
) -> Figure:
    """Draws each trial as a line through its parameters to its metric; better ones are darker.

    Args:
        trials: The parameters of each trial, with the same names.
        values: The metric of each trial.
        metric: The name of the metric.
        lower_is_better: Whether lower values of the metric are better.
        log_scale: The parameters to draw on a logarithmic scale.

    Raises:
        ValueError: If there is no trial.
    """
    if not trials:
        raise ValueError("trials: there is none to draw")
    names = list(trials[0])
    columns = [_column([trial[name] for trial in trials], name in log_scale) for name in names]
    columns.append(_column(list(values), False))
    figure = Figure(figsize=(2.2 + 1.7 * len(columns), 4.0), layout="constrained")
    axes = figure.add_subplot()
    heights = np.stack([column for column, _ in columns], axis=1)
    norm = Normalize(min(values), max(values) + (min(values) == max(values)))
    colours = matplotlib.colormaps["viridis" if lower_is_better else "viridis_r"]
    order = np.argsort(np.negative(values) if lower_is_better else values, kind="stable")
    for trial in order:  # the best on top
        colour = colours(norm(values[trial]))
        axes.plot(heights[trial], color=colour, linewidth=1.8, alpha=0.85)
    best = order[-1]
    axes.plot(heights[best], "o", color=colours(norm(values[best])), markersize=6, zorder=5)
    box = {"facecolor": "white", "alpha": 0.7, "edgecolor": "none", "pad": 0.6}
    for number, (_, ticks) in enumerate(columns):
        axes.axvline(number, color=LINE_COLOUR, linewidth=1.2, zorder=0)
        for height, label in ticks:
            axes.annotate(
                label, (number, height), xytext=(4, 0), textcoords="offset points", fontsize=7.5,
                va="center", bbox=box, zorder=6, fontfamily=fonts_for(label),
            )  # fmt: skip
    labels = [name.rpartition(".")[2] if len(name) > 22 else name for name in names]
    labels = [
        f"{label}\n(log scale)" if name in log_scale else label
        for name, label in zip(names, labels, strict=True)
    ]
    axes.set_xticks(range(len(columns)), [*labels, metric])
    axes.set_title(f"{len(trials)} trials: parameters and {metric}")
    axes.get_xticklabels()[-1].set_fontweight("bold")
    axes.set_yticks([])
    axes.set_ylim(-0.05, 1.05)
    axes.set_xlim(-0.15, len(columns) - 0.6)
    axes.spines[:].set_visible(False)
    axes.tick_params(labelsize=9)
    figure.colorbar(ScalarMappable(norm, colours), ax=axes, label=metric, pad=0.01, aspect=30)
    return figure


def _column(values: Sequence[Value], log: bool) -> tuple[np.ndarray, list[tuple[float, str]]]:
    """Returns heights from 0 to 1, and ticks as pairs of height and label."""
    try:
        numbers = np.array([float(value) for value in values])
    except ValueError:
        return _category_column([str(value) for value in values])
    low, high = float(numbers.min()), float(numbers.max())
    if low == high:
        return np.full(len(numbers), 0.5), [(0.5, f"{low:.4g}")]
    norm = LogNorm(low, high) if log and low > 0 else Normalize(low, high)
    distinct = np.unique(numbers)
    ticks = distinct if len(distinct) <= 6 else np.asarray(norm.inverse(np.linspace(0, 1, 6)))
    return np.asarray(norm(numbers)), [(float(norm(tick)), f"{tick:.3g}") for tick in ticks]


def _category_column(values: Sequence[str]) -> tuple[np.ndarray, list[tuple[float, str]]]:
    categories = sorted(set(values))
    spread = np.linspace(0, 1, len(categories)) if len(categories) > 1 else [0.5]
    heights = dict(zip(categories, map(float, spread), strict=True))
    labels = [
        name if len(name) <= MAX_LABEL else f"{name[: MAX_LABEL - 1]}…"
        for name in drawable(categories, fonts_for(*categories))
    ]
    ticks = list(zip(heights.values(), labels, strict=True))
    return np.array([heights[value] for value in values]), ticks


@figure_style()
def importance_bars(importances: Mapping[str, float], metric: str) -> Figure:
    """Draws the importance of each parameter: the share, 0 to 1, of a metric's variance."""
    items = sorted(importances.items(), key=lambda item: item[1])
    figure = Figure(figsize=(6.4, 1.0 + 0.42 * len(items)), layout="constrained")
    axes = figure.add_subplot()
    bars = axes.barh(
        [name for name, _ in items], [share for _, share in items], 0.6, color=COLOURS[0]
    )
    axes.bar_label(bars, fmt="%.2f", padding=5, fontsize=9)
    axes.set_xlim(0, 1.1 * max([share for _, share in items], default=1) or 1)
    axes.set_title(f"Importance for {metric}: share of its variance")
    axes.set_xticks([])
    axes.spines[:].set_visible(False)
    axes.tick_params(labelsize=9)
    return figure
