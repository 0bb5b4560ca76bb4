"""Figures that compare several variants of a model."""

import math
from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import EngFormatter, MaxNLocator

from seq2seq.plots.curves import TITLES
from seq2seq.plots.figure import COLOURS, REST_COLOUR, TEXT_COLOUR, figure_style, style_axes
from seq2seq.plots.fonts import fonts_for

AXES = (("step", "training steps", 1.0), ("seconds", "minutes", 1 / 60),
        ("target_tokens", "target tokens", 1.0))  # fmt: skip
"""Key of a history, label, and factor to the label's unit."""

History = Sequence[Mapping[str, float]]
"""One entry for each epoch."""


@figure_style()
def variant_curves(variants: Mapping[str, Sequence[History]], metric: str) -> Figure:
    """Draws one metric of several variants over steps, minutes and tokens.

    A thin line is a run, of which a variant has one for each seed, a thick one their mean.

    Raises:
        ValueError: If no history has the metric.
    """
    histories = {
        name: [points for run in runs if (points := [entry for entry in run if metric in entry])]
        for name, runs in variants.items()
    }
    entries = [entry for runs in histories.values() for run in runs for entry in run]
    if not entries:
        raise ValueError(f"metric: no history has {metric!r}")
    panels = [panel for panel in AXES if any(panel[0] in entry for entry in entries)]
    figure, subplots = _figure(len(panels), 4.4, 3.3, list(histories))
    for subplot, (key, label, scale) in zip(subplots, panels, strict=True):
        for number, runs in enumerate(histories.values()):
            curves = [
                np.array([(e[key] * scale, e[metric]) for e in run if key in e], float)
                for run in runs
            ]
            curves = [points for points in curves if len(points)]
            _draw_runs(subplot, curves, COLOURS[number % len(COLOURS)])
        subplot.set_xlabel(label)
        subplot.set_xlim(left=0)
        subplot.margins(y=0.12)
        if subplot.get_ylim()[0] < 0 <= min(entry[metric] for entry in entries):
            subplot.set_ylim(bottom=0)
        if key != "seconds":
            subplot.xaxis.set_major_formatter(EngFormatter(sep=""))
    name = metric.removeprefix("val_")
    title = f"validation {TITLES.get(name, name)}" if metric.startswith("val_") else name
    subplots[0].set_title(title)
    return figure


def _draw_runs(axes: Axes, curves: Sequence[np.ndarray], colour: str) -> None:
    """Draws the curves of a variant's runs, each `(points, 2)`, and their mean."""
    if len(curves) == 1:
        marker = "o" if len(curves[0]) <= 30 else ""
        axes.plot(*curves[0].T, color=colour, linewidth=1.9, marker=marker, markersize=3)
        return
    for points in curves:
        axes.plot(*points.T, color=colour, linewidth=0.8, alpha=0.45)
    if curves:  # runs have the same steps, but differ in seconds
        length = min(map(len, curves))
        mean = np.mean([points[:length] for points in curves], axis=0)
        axes.plot(*mean.T, color=colour, linewidth=2.1)


@figure_style()
def scores_by_part(
    title: str,
    metric: str,
    parts: Sequence[str],
    sizes: Sequence[int],
    scores: Mapping[str, Sequence[float]],
) -> Figure:
    """Draws a score on parts of the test set, with a group of bars for each part.

    Args:
        title: What the parts are, such as `source length`.
        metric: The score.
        parts: The name of each part.
        sizes: The number of items in each part.
        scores: Variant to its score on each part; NaN draws no bar.
    """
    figure, (axes,) = _figure(1, max(5.5, 1.1 * len(parts) + 1.5), 3.4, list(scores))
    width = 0.8 / len(scores)
    for number, values in enumerate(scores.values()):
        positions = np.arange(len(parts)) + (number - (len(scores) - 1) / 2) * width
        heights = [value if math.isfinite(value) else 0 for value in values]
        axes.bar(positions, heights, width * 0.92, color=COLOURS[number % len(COLOURS)])
    labels = [f"{part}\n{size:,}" for part, size in zip(parts, sizes, strict=True)]
    axes.set_xticks(range(len(parts)), labels, fontfamily=fonts_for(*parts))
    axes.set_xlabel(f"{title} (below: items)")
    axes.set_title(TITLES.get(metric, metric))
    return figure


@figure_style()
def difference_intervals(
    title: str, names: Sequence[str], differences: Sequence[float], intervals: np.ndarray
) -> Figure:
    """Draws differences of systems to a baseline with their confidence intervals `(systems, 2)`."""
    figure, (axes,) = _figure(1, 7.0, 1.1 + 0.42 * len(names), [])
    rows = np.arange(len(names))[::-1]
    for row, value, (low, high) in zip(rows, differences, intervals, strict=True):
        is_significant = low > 0 or high < 0
        colour = COLOURS[0] if is_significant else REST_COLOUR
        axes.plot([low, high], [row, row], color=colour, linewidth=2.4, solid_capstyle="round")
        axes.plot(value, row, "o", color=colour, markersize=6)
    axes.axvline(0, color=TEXT_COLOUR, linewidth=0.9)
    axes.set_yticks(rows, names, fontfamily=fonts_for(*names))
    axes.set_ylim(-0.6, len(names) - 0.4)
    axes.grid(axis="y", visible=False)
    axes.xaxis.set_major_locator(MaxNLocator(6))
    axes.xaxis.set_major_formatter("{x:+g}")
    style_axes(axes, "x")
    axes.set_title(title, fontfamily=fonts_for(title))
    return figure


def _figure(
    columns: int, width: float, height: float, variants: Sequence[str]
) -> tuple[Figure, list[Axes]]:
    """Returns a row of axes below a legend of the variants in their colours."""
    legend_height = 0.2 * len(variants) if len(variants) > 1 else 0
    figure = Figure(figsize=(columns * width, height + legend_height + 0.1), layout="constrained")
    if legend_height:
        lines = [
            Line2D([], [], color=COLOURS[number % len(COLOURS)], label=name)
            for number, name in enumerate(variants)
        ]
        figure.legend(
            handles=lines, loc="outside upper left", labelcolor="linecolor",
            handlelength=0, handletextpad=0, borderpad=0.2, labelspacing=0.3,
            prop={"size": 9.5, "weight": "bold", "family": fonts_for(*variants)},
        )  # fmt: skip
    subplots = [figure.add_subplot(1, columns, number + 1) for number in range(columns)]
    for axes in subplots:
        axes.yaxis.set_major_locator(MaxNLocator(5))
        style_axes(axes)
    return figure, subplots
