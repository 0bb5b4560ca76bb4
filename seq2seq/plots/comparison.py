"""Several runs in one picture."""

import math
from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import EngFormatter, MaxNLocator

from seq2seq.plots.curves import LINE_COLOUR, TEXT_COLOUR, TITLES
from seq2seq.plots.fonts import plain_text

COLOURS = ("#3b6fb6", "#d1495b", "#3a8f63", "#c98a1b", "#7a5195", "#4aa3b5", "#8c6d5a", "#6b7280")
"""Told apart by those who see colours otherwise, too, in the order of their lightness."""

AXES = (("step", "training steps", 1.0), ("seconds", "minutes", 1 / 60),
        ("target_tokens", "target tokens", 1.0))  # fmt: skip

History = Sequence[Mapping[str, float]]
"""One entry for each epoch."""


@plain_text
def curves_together(
    variants: Mapping[str, Sequence[History]], metric: str, axes: Sequence[str] | None = None
) -> Figure:
    """Draws one metric of several variants over steps, minutes and tokens.

    Example:
        >>> lstm = [{"step": 1, "seconds": 60.0, "target_tokens": 9, "val_loss": 2.0}]
        >>> figure = curves_together({"lstm": [lstm], "gru": [lstm]}, "val_loss")

    Args:
        variants: Name to the histories of its runs, one for each seed.
        metric: What is drawn upwards.
        axes: Which of `step`, `seconds` and `target_tokens` to draw it over; if null, all that
            some history has.

    Returns:
        The figure: a thin line for each run, a thick one for the mean of a variant's.

    Raises:
        ValueError: If no history has the metric.
    """
    drawn = {
        name: [kept for history in histories if (kept := [e for e in history if metric in e])]
        for name, histories in variants.items()
    }
    entries = [entry for runs in drawn.values() for run in runs for entry in run]
    if not entries:
        raise ValueError(f"metric: no history has {metric!r}")
    panels = [panel for panel in AXES if panel[0] in (axes or [p[0] for p in AXES])]
    panels = [panel for panel in panels if any(panel[0] in entry for entry in entries)]
    figure, all_axes = _figure(len(panels), 4.4, 3.3, list(drawn))
    for subplot, (key, label, scale) in zip(all_axes, panels, strict=True):
        for number, runs in enumerate(drawn.values()):
            _draw_runs(subplot, runs, key, scale, metric, COLOURS[number % len(COLOURS)])
        subplot.set_xlabel(label, fontsize=9, color=TEXT_COLOUR)
        subplot.set_xlim(left=0)
        subplot.margins(y=0.12)
        if key != "seconds":
            subplot.xaxis.set_major_formatter(EngFormatter(sep=""))
    name = metric.removeprefix("val_")
    all_axes[0].set_title(
        f"validation {TITLES.get(name, name)}" if metric.startswith("val_") else name,
        loc="left", fontsize=10.5, fontweight="bold", color=TEXT_COLOUR,
    )  # fmt: skip
    return figure


def _draw_runs(
    axes: Axes, runs: Sequence[History], key: str, scale: float, metric: str, colour: str
) -> None:
    curves = []
    for run in runs:
        points = np.array([[e[key] * scale, e[metric]] for e in run if key in e], float)
        if len(points):
            curves.append(points)
    for points in curves:
        alone = len(curves) == 1
        marker = {"marker": "o", "markersize": 3} if len(points) <= 30 and alone else {}
        axes.plot(*points.T, color=colour, linewidth=1.9 if alone else 0.8,
                  alpha=1 if alone else 0.45, **marker)  # type: ignore[arg-type]  # fmt: skip
    if len(curves) > 1:  # seeds go the same steps, but not to the same second
        shortest = min(map(len, curves))
        mean = np.mean([points[:shortest] for points in curves], axis=0)
        axes.plot(*mean.T, color=colour, linewidth=2.1)


@plain_text
def score_parts(
    title: str,
    metric: str,
    parts: Sequence[str],
    sizes: Sequence[int],
    scores: Mapping[str, Sequence[float]],
) -> Figure:
    """Draws a score in parts of the test set, a group of bars for each part.

    Args:
        title: What the parts are, such as `source length`.
        metric: What is drawn upwards.
        parts: Their names.
        sizes: How many items each has.
        scores: Variant to its score in each part; what is not a number is left out.
    """
    figure, (axes,) = _figure(1, max(5.5, 1.1 * len(parts) + 1.5), 3.4, list(scores))
    width = 0.8 / len(scores)
    for number, values in enumerate(scores.values()):
        places = np.arange(len(parts)) + (number - (len(scores) - 1) / 2) * width
        heights = [value if math.isfinite(value) else 0 for value in values]
        axes.bar(places, heights, width * 0.92, color=COLOURS[number % len(COLOURS)])
    axes.set_xticks(
        range(len(parts)), [f"{p}\n{size:,}" for p, size in zip(parts, sizes, strict=True)]
    )
    axes.set_xlabel(f"{title} (below: items)", fontsize=9, color=TEXT_COLOUR)
    axes.set_title(
        TITLES.get(metric, metric), loc="left", fontsize=10.5, fontweight="bold", color=TEXT_COLOUR
    )
    return figure


@plain_text
def difference_intervals(
    title: str, names: Sequence[str], differences: Sequence[float], intervals: np.ndarray
) -> Figure:
    """Draws differences to a baseline with their confidence intervals.

    Args:
        title: What the difference is of.
        names: The name of each.
        differences: The differences.
        intervals: Their lower and upper ends, shape `(names, 2)`.
    """
    figure, (axes,) = _figure(1, 7.0, 1.1 + 0.42 * len(names), [])
    rows = np.arange(len(names))[::-1]
    for row, value, (low, high) in zip(rows, differences, intervals, strict=True):
        certain = low > 0 or high < 0
        colour = COLOURS[0] if certain else "#8a929b"
        axes.plot([low, high], [row, row], color=colour, linewidth=2.4, solid_capstyle="round")
        axes.plot(value, row, "o", color=colour, markersize=6)
    axes.axvline(0, color=TEXT_COLOUR, linewidth=0.9)
    axes.set_yticks(rows, names)
    axes.set_ylim(-0.6, len(names) - 0.4)
    axes.grid(axis="x", color=LINE_COLOUR, linewidth=0.6, alpha=0.7)
    axes.grid(axis="y", visible=False)
    axes.set_title(title, loc="left", fontsize=10.5, fontweight="bold", color=TEXT_COLOUR)
    return figure


def _figure(
    columns: int, width: float, height: float, legend: Sequence[str]
) -> tuple[Figure, list[Axes]]:
    """A row of plain axes below a legend in the colours of the variants."""
    lines = len(legend) if len(legend) > 1 else 0
    head = 0.2 * lines + 0.1
    figure = Figure(figsize=(columns * width, height + head), layout="constrained")
    layout = figure.get_layout_engine()
    if layout is not None:
        layout.set(rect=(0, 0, 1, 1 - head / (height + head)))  # type: ignore[call-arg]
    for number, name in enumerate(legend if lines else []):
        top = 1 - (0.08 + 0.2 * number) / (height + head)
        figure.text(0.012, top, name, color=COLOURS[number % len(COLOURS)], va="top",
                    fontsize=9.5, fontweight="bold")  # fmt: skip
    all_axes = [figure.add_subplot(1, columns, number + 1) for number in range(columns)]
    for axes in all_axes:
        axes.yaxis.set_major_locator(MaxNLocator(5))
        axes.grid(axis="y", color=LINE_COLOUR, linewidth=0.6, alpha=0.7)
        axes.set_axisbelow(True)
        axes.spines[["top", "right", "left"]].set_visible(False)
        axes.spines["bottom"].set_color(LINE_COLOUR)
        axes.tick_params(colors=TEXT_COLOUR, labelsize=8.5, length=0)
    return figure, all_axes
