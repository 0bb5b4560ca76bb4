"""Figures of forecasts: fans of quantiles, errors by step, calibration, residuals."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from matplotlib.axes import Axes
from matplotlib.dates import AutoDateLocator, ConciseDateFormatter
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import EngFormatter, MaxNLocator, PercentFormatter

from seq2seq.plots.figure import (
    COLOURS,
    LINE_COLOUR,
    REST_COLOUR,
    TEXT_COLOUR,
    figure_style,
    style_axes,
)
from seq2seq.plots.fonts import drawable, fonts_for

MAX_SERIES, MAX_COLUMNS = 6, 3
PANEL_WIDTH, PANEL_HEIGHT, LEGEND_HEIGHT, MIN_WIDTH = 4.2, 2.5, 0.45, 6.4  # inches
HISTORY = 3
"""The history that is drawn is at most so many times as long as the forecast."""
MIN_HISTORY = 24

BANDS = ((0.025, 0.975, 0.16), (0.1, 0.9, 0.3))
"""Levels of the bounds and opacity, the widest first."""
FORECAST_COLOUR = COLOURS[0]
HISTORY_COLOUR, REFERENCE_COLOUR = REST_COLOUR, TEXT_COLOUR

BINS = 40
MAX_DEVIATION = 4
"""Residuals beyond so many standard deviations are drawn at the edge of the histogram."""


@dataclass(frozen=True)
class ForecastExample:
    """A series to draw.

    Attributes:
        name: The title, such as the series' identifier.
        history: `(steps,)`; NaN where missing.
        reference: `(horizon,)`; NaN where missing.
        forecast: `(horizon,)`.
        quantiles: Level to quantile `(horizon,)`.
        times: ISO dates or steps of the history and the horizon, `(steps + horizon,)`; without
            them, steps are counted from 1.
    """

    name: str
    history: np.ndarray
    reference: np.ndarray
    forecast: np.ndarray
    quantiles: Mapping[float, np.ndarray] = field(default_factory=dict)
    times: Sequence[str] | Sequence[int] = ()


@figure_style()
def forecast_fan_figure(examples: Sequence[ForecastExample]) -> Figure:
    """Draws forecasts with their intervals of 80 and 95 %, beside references and histories.

    The first `MAX_SERIES` examples are drawn, with the end of their histories.

    Raises:
        ValueError: If there are no examples.
    """
    if not examples:
        raise ValueError("examples: there is nothing to draw")
    examples = examples[:MAX_SERIES]
    rows = math.ceil(len(examples) / MAX_COLUMNS)
    columns = math.ceil(len(examples) / rows)
    size = max(columns * PANEL_WIDTH, MIN_WIDTH), rows * PANEL_HEIGHT + LEGEND_HEIGHT
    figure = Figure(figsize=size, layout="constrained")
    for position, example in enumerate(examples, start=1):
        axes = figure.add_subplot(rows, columns, position)
        _draw_fan(axes, example)
        families = fonts_for(example.name)
        [title] = drawable([example.name], families)
        axes.set_title(title, fontfamily=families)
        axes.yaxis.set_major_locator(MaxNLocator(5))
        if max(map(abs, axes.get_ylim())) >= 10_000:
            axes.yaxis.set_major_formatter(EngFormatter(sep=""))
        style_axes(axes)
    handles: list[Line2D | Patch] = [
        Line2D([], [], color=HISTORY_COLOUR, label="history"),
        Line2D([], [], color=REFERENCE_COLOUR, label="reference"),
        Line2D([], [], color=FORECAST_COLOUR, linewidth=1.9, label="forecast"),
    ]
    for low, high, opacity in reversed(BANDS):
        if any({low, high} <= {*example.quantiles} for example in examples):
            label = f"{high - low:.0%} interval"
            handles.append(Patch(color=FORECAST_COLOUR, alpha=opacity, linewidth=0, label=label))
    figure.legend(handles=handles, loc="outside lower left", ncols=len(handles), fontsize=9)
    return figure


def _draw_fan(axes: Axes, example: ForecastExample) -> None:
    steps, horizon = len(example.history), len(example.forecast)
    first = max(0, steps - max(HISTORY * horizon, MIN_HISTORY))
    times = _times(example, steps + horizon)
    past, ahead = times[first:steps], times[steps:]
    axes.plot(past, example.history[first:], color=HISTORY_COLOUR, linewidth=1.2)
    for low, high, opacity in BANDS:
        if {low, high} <= {*example.quantiles}:
            bounds = example.quantiles[low], example.quantiles[high]
            axes.fill_between(
                ahead, *bounds, color=FORECAST_COLOUR, alpha=opacity, linewidth=0,
            )  # fmt: skip
    marker = "o" if horizon == 1 else ""
    axes.plot(
        times[steps - 1 :] if steps else ahead,
        np.concatenate([example.history[-1:], example.reference]),
        color=REFERENCE_COLOUR, linewidth=1.2,
    )  # fmt: skip
    axes.plot(
        ahead, example.forecast, color=FORECAST_COLOUR, linewidth=1.9, marker=marker, markersize=4,
    )  # fmt: skip
    if times.dtype.kind == "M":
        locator = AutoDateLocator(minticks=3, maxticks=6)
        axes.xaxis.set_major_locator(locator)
        axes.xaxis.set_major_formatter(ConciseDateFormatter(locator))
    else:
        axes.xaxis.set_major_locator(MaxNLocator(6, integer=True))
        axes.set_xlabel("step")
    axes.margins(x=0.02)


def _times(example: ForecastExample, length: int) -> np.ndarray:
    """Returns the dates or steps of the history and the horizon."""
    if not len(example.times):
        return np.arange(1, length + 1)
    if len(example.times) != length:
        raise ValueError(f"times: {length} are needed, got {len(example.times)}")
    has_dates = isinstance(example.times[0], str)
    return np.array(example.times, "datetime64[s]" if has_dates else np.int64)


@figure_style()
def error_by_step_figure(tables: Mapping[str, Sequence[float]], metric: str = "MASE") -> Figure:
    """Draws the error of each step of the horizon, of a run and of baselines.

    Args:
        tables: Name to the error of each step, `(horizon,)`; the first one, of the run, is
            emphasized.
        metric: What the error is.

    Raises:
        ValueError: If there are no errors.
    """
    if not any(len(errors) for errors in tables.values()):
        raise ValueError("tables: there is nothing to draw")
    figure = Figure(figsize=(6.4, 3.6), layout="constrained")
    axes = figure.add_subplot()
    families = fonts_for(*tables)
    for number, (name, errors) in reversed([*enumerate(tables.items())]):
        [label] = drawable([name], families)
        axes.plot(
            np.arange(1, len(errors) + 1), errors, "o-",
            color=COLOURS[number % len(COLOURS)], linewidth=2.2 if number == 0 else 1.3,
            markersize=4 if number == 0 else 2.5, label=label,
        )  # fmt: skip
    axes.set_title(f"{metric} of each step")
    axes.set_xlabel("step of the horizon")
    axes.set_ylim(bottom=0)
    axes.xaxis.set_major_locator(MaxNLocator(10, integer=True))
    axes.yaxis.set_major_locator(MaxNLocator(5))
    style_axes(axes)
    handles, labels = axes.get_legend_handles_labels()
    axes.legend(
        handles[::-1], labels[::-1], loc="upper left", bbox_to_anchor=(1, 1),
        prop={"family": families, "size": 9},
    )  # fmt: skip
    return figure


@figure_style()
def calibration_figure(levels: Sequence[float], observed: Sequence[float]) -> Figure:
    """Draws how many references are below each quantile, beside the quantile's level.

    Args:
        levels: Levels of the quantiles.
        observed: The share of references that are below each quantile.

    Raises:
        ValueError: If there are no levels.
    """
    if not len(levels):
        raise ValueError("levels: there is nothing to draw")
    order = np.argsort(levels)
    nominal, shares = np.asarray(levels)[order], np.asarray(observed)[order]
    figure = Figure(figsize=(4.4, 4.4), layout="constrained")
    axes = figure.add_subplot()
    axes.plot([0, 1], [0, 1], color=LINE_COLOUR, linewidth=1.2)
    axes.fill_between(nominal, nominal, shares, color=COLOURS[0], alpha=0.15, linewidth=0)
    axes.plot(nominal, shares, "o-", color=COLOURS[0], markersize=4.5, clip_on=False)
    axes.set_title("Calibration of the quantiles")
    axes.set_xlabel("level of the quantile")
    axes.set_ylabel("references below it")
    axes.set(xlim=(0, 1), ylim=(0, 1), aspect="equal")
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_formatter(PercentFormatter(1, decimals=0))
        axis.set_major_locator(MaxNLocator(5))
    style_axes(axes, "both", ("top", "right"))
    return figure


@figure_style()
def residuals_figure(residuals: np.ndarray, scaled: bool = False) -> Figure:
    """Draws the distribution of residuals, and how it changes with the step of the horizon.

    The left panel is a histogram with the normal distribution of the same mean and deviation, the
    right one the median and the middle 50 and 90 % of each step.

    Args:
        residuals: Reference minus forecast, `(rows, horizon)`; NaN where missing.
        scaled: Whether each row was divided by its scale.

    Raises:
        ValueError: If there are no residuals.
    """
    residuals = np.asarray(residuals, np.float64)
    values = residuals[np.isfinite(residuals)]
    if not len(values):
        raise ValueError("residuals: there is nothing to draw")
    name = "residual / scale" if scaled else "residual"
    figure = Figure(figsize=(9.6, 3.4), layout="constrained")
    left, right = figure.subplots(1, 2)
    _draw_histogram(left, values)
    left.set_title("Residuals")
    left.set_xlabel(f"{name} (reference - forecast)")
    steps = [np.flatnonzero(np.isfinite(column)) for column in residuals.T]
    known = [number for number, rows in enumerate(steps) if len(rows)]
    shares = np.array(
        [np.quantile(residuals[steps[n], n], [0.05, 0.25, 0.5, 0.75, 0.95]) for n in known]
    ).T
    positions = np.array(known) + 1
    for low, high, opacity, label in ((0, 4, 0.16, "90%"), (1, 3, 0.3, "50%")):
        right.fill_between(
            positions, shares[low], shares[high], color=COLOURS[0], alpha=opacity, linewidth=0,
            label=f"middle {label}",
        )  # fmt: skip
    right.plot(positions, shares[2], "o-", color=COLOURS[0], markersize=3, label="median")
    right.axhline(0, color=TEXT_COLOUR, linewidth=0.9)
    right.set_title("Residuals of each step")
    right.set_xlabel("step of the horizon")
    right.set_ylabel(name)
    right.xaxis.set_major_locator(MaxNLocator(8, integer=True))
    right.legend(fontsize=8.5, loc="upper left", bbox_to_anchor=(1, 1))  # beside the bands
    style_axes(right)
    return figure


def _draw_histogram(axes: Axes, values: np.ndarray) -> None:
    mean, deviation = values.mean(), values.std()
    limit = MAX_DEVIATION * deviation or 1.0
    edges = np.linspace(mean - limit, mean + limit, BINS + 1)
    clipped = values.clip(edges[0], edges[-1])
    axes.hist(
        clipped, edges.tolist(), color=COLOURS[0], alpha=0.85, edgecolor="white", linewidth=0.5
    )
    if deviation > 0:
        points = np.linspace(edges[0], edges[-1], 200)
        density = np.exp(-(((points - mean) / deviation) ** 2) / 2)
        height = len(values) * (edges[1] - edges[0]) / (deviation * math.sqrt(2 * math.pi))
        axes.plot(points, height * density, color=TEXT_COLOUR, linewidth=1.2, label="normal")
        axes.legend(fontsize=8.5)
    axes.axvline(0, color=TEXT_COLOUR, linewidth=0.9)
    axes.set_ylabel("values")
    if len(values) >= 10_000:
        axes.yaxis.set_major_formatter(EngFormatter(sep=""))
    style_axes(axes)
