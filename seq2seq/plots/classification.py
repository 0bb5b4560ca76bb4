"""Figures of classifiers: confusion matrices, precision-recall curves, reliability diagrams.

The curves are scikit-learn's, but not its displays: those import pyplot with its global state,
and their titles, legends and axes would all have to be replaced.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.colors import PowerNorm
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter

from seq2seq.plots.figure import (
    COLOURS,
    LINE_COLOUR,
    REST_COLOUR,
    TEXT_COLOUR,
    figure_style,
    style_axes,
)
from seq2seq.plots.fonts import drawable, fonts_for

MAX_LABELS = 40
OTHERS = "(others)"
CELLS, CELL, MIN_CELL, LETTER, MARGIN = 7.0, 0.42, 0.23, 0.075, 1.2  # inches
GAMMA = 0.5
"""Exponent of the colour scale: most cells of a good matrix hold a small share."""

MAX_NAMED = 8
BINS = 15


@figure_style()
def confusion_matrix_figure(counts: np.ndarray, labels: Sequence[str]) -> Figure:
    """Draws a confusion matrix `(labels, labels)`: references in rows, predictions in columns.

    A cell's colour is its share of the row, so that rare labels are as visible as frequent ones;
    its number is the count. The most frequent labels come first; those beyond `MAX_LABELS` are
    merged into `(others)`.

    Raises:
        ValueError: If `counts` is not a square matrix of the labels, or all counts are 0.
    """
    counts = np.asarray(counts)
    if counts.shape != (len(labels), len(labels)):
        raise ValueError(
            f"counts: must be ({len(labels)}, {len(labels)}) for {len(labels)} labels, "
            f"got {counts.shape}"
        )
    if counts.sum() == 0:
        raise ValueError("counts: there is nothing to draw, all of them are 0")
    counts, names = most_frequent(counts, list(labels), MAX_LABELS)
    families = fonts_for(*names)
    names = drawable(names, families)
    cell = min(CELL, max(MIN_CELL, CELLS / len(names)))
    size = len(names) * cell + max(map(len, names)) * LETTER + MARGIN
    figure = Figure(figsize=(size + 1, size), layout="constrained")
    axes = figure.add_subplot()
    letters = min(7.0, 25 * cell)
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    image = axes.imshow(shares, cmap="Blues", norm=PowerNorm(GAMMA, vmin=0, vmax=1))
    for row, column in zip(*np.nonzero(counts), strict=True):
        colour = "white" if shares[row, column] ** GAMMA > 0.6 else TEXT_COLOUR
        count = _short(int(counts[row, column]))
        axes.text(column, row, count, ha="center", va="center", fontsize=letters, color=colour)
    axes.set_xticks(range(len(names)), names, rotation=90, fontfamily=families)
    axes.set_yticks(range(len(names)), names, fontfamily=families)
    axes.set_xlabel("prediction")
    axes.set_ylabel("reference")
    axes.set_title("Confusion matrix: counts")
    percent = PercentFormatter(1, decimals=0)
    bar = figure.colorbar(image, ax=axes, shrink=0.8, fraction=0.04, pad=0.02, format=percent)
    bar.set_label("share of the reference (square-root scale)")
    bar.outline.set_visible(False)
    return figure


def most_frequent(
    counts: np.ndarray, labels: list[str], limit: int
) -> tuple[np.ndarray, list[str]]:
    """Sorts labels by frequency, merges those beyond a limit and drops those that never occur.

    Returns:
        The new counts and their labels.
    """
    occurrences = counts.sum(axis=0) + counts.sum(axis=1)
    order = np.argsort(-counts.sum(axis=1) - 1e-9 * occurrences, kind="stable")
    order = order[occurrences[order] > 0]
    counts, names = counts[np.ix_(order, order)], [labels[index] for index in order]
    if len(names) <= limit:
        return counts, names
    starts = np.arange(limit)  # the last group goes from `limit - 1` to the end
    counts = np.add.reduceat(np.add.reduceat(counts, starts, axis=0), starts, axis=1)
    return counts, [*names[: limit - 1], OTHERS]


def _short(count: int) -> str:
    """Formats a count in at most four characters: 987, 1.2k, 12k, 3.4M."""
    for size, unit in ((1_000_000, "M"), (1_000, "k")):
        if count >= size:
            value = count / size
            return f"{value:.1f}{unit}" if value < 9.95 else f"{value:.0f}{unit}"
    return str(count)


@figure_style()
def precision_recall_figure(
    references: np.ndarray, probabilities: np.ndarray, labels: Sequence[str]
) -> Figure:
    """Draws a precision-recall curve for each class.

    `references` are 1 where a row has a class, else 0; both they and the probabilities are `(rows,
    classes)`. The classes of the lowest average precision are named, the others are grey.

    Raises:
        ValueError: If no row has a class.
    """
    from sklearn.metrics import average_precision_score, precision_recall_curve

    present = np.flatnonzero(references.sum(axis=0)).tolist()
    if not present:
        raise ValueError("references: there is nothing to draw, no row has a class")
    precisions = {
        number: average_precision_score(references[:, number], probabilities[:, number])
        for number in present
    }
    worst_first = sorted(present, key=lambda number: precisions[number])
    named = worst_first[:MAX_NAMED]
    families = fonts_for(*(labels[number] for number in named))
    figure = Figure(figsize=(6.4, 4.8), layout="constrained")
    axes = figure.add_subplot()
    for number in worst_first[::-1]:
        precision, recall, _ = precision_recall_curve(
            references[:, number], probabilities[:, number]
        )
        style: dict[str, Any] = {"color": REST_COLOUR, "linewidth": 0.8, "alpha": 0.6}
        if number in named:
            [label] = drawable([labels[number]], families)
            style = {"color": COLOURS[named.index(number)], "linewidth": 1.6}
            style["label"] = f"{label}  {precisions[number]:.3f}"
        axes.plot(recall, precision, drawstyle="steps-post", **style)
    axes.set(xlim=(0, 1.01), ylim=(0, 1.02))
    axes.set_title("Precision and recall of each class")
    axes.set_xlabel("recall")
    axes.set_ylabel("precision")
    style_axes(axes, "both", ("top", "right"))
    title = "average precision" if len(named) == len(present) else "lowest average precision"
    axes.legend(
        title=title, title_fontsize=8.5, prop={"family": families, "size": 8.5},
        loc="upper left", bbox_to_anchor=(1, 1), alignment="left",
    )  # fmt: skip
    return figure


@figure_style()
def reliability_figure(probabilities: np.ndarray, outcomes: np.ndarray, bins: int = BINS) -> Figure:
    """Draws a reliability diagram: how often predictions of each probability come true.

    Probabilities and outcomes, 1 where the decision came true and else 0, are `(decisions,)`.

    Raises:
        ValueError: If there are no decisions.
    """
    from sklearn.calibration import calibration_curve

    if not len(probabilities):
        raise ValueError("probabilities: there is nothing to draw")
    shares, means = calibration_curve(outcomes, probabilities, n_bins=bins, pos_label=1)
    figure = Figure(figsize=(4.6, 5.2), layout="constrained")
    upper, lower = figure.subplots(2, 1, sharex=True, height_ratios=(4, 1))
    upper.plot([0, 1], [0, 1], color=LINE_COLOUR, linewidth=1.2)
    upper.plot(means, shares, "o-", color=COLOURS[0])
    upper.set_title("Calibration")
    upper.set_ylabel("share that is right")
    upper.set_ylim(0, 1.02)
    lower.hist(probabilities, bins, (0, 1), color=COLOURS[0], edgecolor="white")
    lower.set_ylabel("predictions")
    lower.set_xlabel("predicted probability")
    lower.set_xlim(0, 1)
    for axes in (upper, lower):
        style_axes(axes, "both", ("top", "right"))
    return figure
