"""Figures of what was measured."""

from collections.abc import Mapping
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import EngFormatter, MaxNLocator

OURS, OTHERS, LIMIT, TEXT = "#d1495b", "#8fa6bf", "#2f3b45", "#3b424a"
SERIES = (OURS, "#5b7fa6", "#3a7d5c", "#c58b2c", "#7b5ea7", "#8a8f98")
LIMIT_STYLES = {"float32": "--", "bfloat16": ":"}
COLUMNS = {
    "tokens_per_second": "tokens a second (more is better)",
    "peak_memory_mib": "peak memory, MiB (less is better)",
    "seconds_to_first_step": "seconds from start to end of first step (less is better)",
}


def training_plot(works: Mapping[str, Mapping[str, Any]]) -> Figure:
    """Draws one row of bars a work, and one column a figure.

    Args:
        works: By key, what `benchmarks.training.summarised` returns.
    """
    figure = Figure(figsize=(15, 0.6 + 2.3 * len(works)), layout="constrained")
    panels = figure.subplots(len(works), len(COLUMNS), squeeze=False)
    for row, (key, found) in zip(panels, works.items(), strict=True):
        for axes, name in zip(row, COLUMNS, strict=True):
            _bars(axes, found["programs"], name)
        _limits(row[0], found)
        row[0].set_title(f"{key}: {found['title']}", loc="left", fontweight="bold", color=TEXT)
        for axes in row[1:]:
            axes.set_yticklabels([])
    for axes, label in zip(panels[-1], COLUMNS.values(), strict=True):
        axes.set_xlabel(label)
    lines, names = panels[0][0].get_legend_handles_labels()
    if lines:
        figure.legend(lines, names, loc="outside upper right", frameon=False)
    return figure


def _bars(axes: Axes, programs: Mapping[str, Mapping[str, float]], name: str) -> None:
    values = [figures[name] for figures in programs.values()]
    colours = [OURS if program.startswith("seq2seq") else OTHERS for program in programs]
    axes.barh(list(programs), values, color=colours)
    ends = list(values)
    if name == "tokens_per_second":
        ends = [figures["highest"] for figures in programs.values()]
        low = [figures["lowest"] for figures in programs.values()]
        axes.hlines(list(programs), low, ends, color=TEXT, linewidth=1.5)
    for program, value, end in zip(programs, values, ends, strict=True):
        text = f"{value:,.0f}" if value >= 100 else f"{value:.1f}"
        axes.annotate(
            text,
            (end, program),
            xytext=(4, 0),
            textcoords="offset points",
            va="center",
            fontsize=9,
            bbox={"facecolor": "white", "edgecolor": "none", "alpha": 0.8, "pad": 0.5},
        )
    axes.margins(x=0.15)
    axes.invert_yaxis()
    axes.spines[["top", "right"]].set_visible(False)
    axes.xaxis.set_major_locator(MaxNLocator(5))
    axes.xaxis.set_major_formatter("{x:,.0f}")
    axes.tick_params(length=0, labelsize=9)


def _limits(axes: Axes, found: Mapping[str, Any]) -> None:
    """Marks the tokens a second at which a step would be nothing but its matrix products."""
    any_program = next(iter(found["programs"].values()), None)
    if any_program is None:
        return
    tokens = any_program["tokens_per_second"] * any_program["milliseconds_per_step"]
    for precision, least in found["limits"].items():
        axes.axvline(
            tokens / least["milliseconds_per_step"],
            color=LIMIT,
            linestyle=LIMIT_STYLES[precision],
            label=f"raw limit, {precision}",
        )


def growth_plot(axes_found: Mapping[str, Mapping[str, list[dict[str, float]]]]) -> Figure:
    """Draws tokens a second and peak memory over each axis.

    Args:
        axes_found: Axis -> program -> points, which hold the axis' value and the figures.
    """
    rows = list(COLUMNS)[:2]
    figure = Figure(figsize=(0.6 + 3.4 * len(axes_found), 6), layout="constrained")
    panels = figure.subplots(len(rows), len(axes_found), squeeze=False)
    for column, (axis, series) in zip(panels.T, axes_found.items(), strict=True):
        for axes, name in zip(column, rows, strict=True):
            for colour, (program, points) in zip(SERIES, series.items(), strict=False):
                x = [point[axis] for point in points]
                axes.plot(x, [point[name] for point in points], "o-", color=colour, label=program)
            axes.set_xscale("log")
            axes.set_xticks(x, [EngFormatter(sep="")(each) if each >= 1e4 else each for each in x])
            axes.minorticks_off()
            highest = max(point[name] for points in series.values() for point in points)
            axes.set_ylim(0, 1.15 * highest)
            axes.yaxis.set_major_formatter("{x:,.0f}")
            axes.grid(axis="y", alpha=0.4)
            axes.spines[["top", "right"]].set_visible(False)
        column[-1].set_xlabel(axis.replace("_", " "))
    figure.legend(
        *panels[0, 0].get_legend_handles_labels(), loc="outside upper left", ncols=2, frameon=False
    )
    for axes, name in zip(panels[:, 0], rows, strict=True):
        axes.set_ylabel(COLUMNS[name].replace(" (", "\n("))
    return figure


def quality_plot(curves: Mapping[str, list[dict[str, float]]], goal: Mapping[str, float]) -> Figure:
    """Draws BLEU over minutes of training.

    Args:
        curves: By program, the points after each epoch.
        goal: The `bleu` to be reached within so many `minutes`.
    """
    figure = Figure(figsize=(7.5, 4.5), layout="constrained")
    axes = figure.subplots()
    for colour, (program, points) in zip(SERIES, curves.items(), strict=False):
        minutes, scores = ([point[key] for point in points] for key in ("minutes", "bleu"))
        axes.plot(minutes, scores, "o-", color=colour, label=program)
    axes.plot(goal["minutes"], goal["bleu"], "+", color=LIMIT, markersize=14, label="goal")
    axes.set_xlabel("minutes of training")
    axes.set_ylabel("BLEU, test 2016, beam of 5")
    axes.set_xlim(left=0)
    axes.grid(axis="y", alpha=0.4)
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(loc="lower right", frameon=False)
    return figure


def endurance_plot(
    measures: Mapping[str, Mapping[str, list[float]]], counts: Mapping[str, int]
) -> Figure:
    """Draws memory, file descriptors and threads over a long training and many predictions."""
    names = {"memory_mib": "memory, MiB", "files": "open files", "threads": "threads"}
    figure = Figure(figsize=(11, 7), layout="constrained")
    panels = figure.subplots(len(names), len(measures), squeeze=False, sharex="col")
    for column, (part, values) in enumerate(measures.items()):
        share = [second / values["seconds"][-1] * counts[part] for second in values["seconds"]]
        for row, (name, label) in enumerate(names.items()):
            axes = panels[row][column]
            axes.plot(share, values[name], color=OURS, linewidth=1)
            axes.set_ylim(bottom=0, top=1.15 * max(values[name]))
            axes.set_ylabel(label)
            axes.grid(axis="y", alpha=0.3)
        panels[0][column].set_title(
            f"{counts[part]:,} {'steps' if part == 'training' else part}",
            loc="left",
            fontweight="bold",
        )
        panels[-1][column].xaxis.set_major_formatter(EngFormatter())
        panels[-1][column].set_xlabel("steps" if part == "training" else "predictions")
    return figure
