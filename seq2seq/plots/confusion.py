"""Confusion matrices: which labels are taken for which."""

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import PowerNorm
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter

from seq2seq.plots.fonts import plain_text

MAX_LABELS = 30
OTHERS = "(others)"

TEXT_COLOUR = "#3b424a"
LINE_COLOUR = "#c9ced4"
COLOURS = "Blues"
CELL = 0.42
MARGIN = 1.9
GAMMA = 0.5
"""Shares are coloured by their square root: most of a good matrix is small errors."""


@plain_text
def confusion_matrix_figure(
    counts: np.ndarray, labels: Sequence[str], title: str = "", max_labels: int = MAX_LABELS
) -> Figure:
    """Draws how often each label was predicted for each reference.

    A cell's colour is its share of the row, so that rare labels are seen as well as frequent ones;
    its number is the count. The most frequent labels stand first; those beyond `max_labels` are
    put together as `(others)`.

    Example:
        >>> counts = np.array([[8, 2], [1, 9]])
        >>> save_figure(confusion_matrix_figure(counts, ["NOUN", "VERB"]), Path("plots/c.png"))

    Args:
        counts: Integers `(labels, labels)`; row i counts the references of label i, column j the
            predictions of label j.
        labels: The name of each label.
        title: What stands above the matrix.
        max_labels: How many rows and columns are drawn at most, at least 2.

    Returns:
        The figure. It knows nothing of pyplot, so it needs no closing.

    Raises:
        ValueError: If the counts are not a square of as many rows as labels, or all of them are 0.
    """
    counts = np.asarray(counts)
    if counts.shape != (len(labels), len(labels)):
        raise ValueError(
            f"counts: must be ({len(labels)}, {len(labels)}) for {len(labels)} labels, "
            f"got {counts.shape}"
        )
    if counts.sum() == 0:
        raise ValueError("counts: there is nothing to draw, all of them are 0")
    counts, names = most_frequent(counts, list(labels), max_labels)
    size = len(names) * CELL + MARGIN
    figure = Figure(figsize=(size + 1, size), layout="constrained")
    axes = figure.add_subplot()
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    image = axes.imshow(shares, cmap=COLOURS, norm=PowerNorm(GAMMA, vmin=0, vmax=1))
    _write_counts(axes, counts, shares)
    _dress(axes, names, title)
    bar = figure.colorbar(image, ax=axes, shrink=0.8, format=PercentFormatter(1, decimals=0))
    bar.set_label("share of the reference", fontsize=9, color=TEXT_COLOUR)
    bar.outline.set_visible(False)
    bar.ax.tick_params(colors=TEXT_COLOUR, labelsize=8.5, length=0)
    return figure


def most_frequent(
    counts: np.ndarray, labels: list[str], limit: int
) -> tuple[np.ndarray, list[str]]:
    """Orders labels by how often they occur, and puts those beyond a limit together.

    Labels that occur neither as reference nor as prediction are left out.

    Returns:
        The counts and the labels that they stand for.
    """
    occurrences = counts.sum(axis=0) + counts.sum(axis=1)
    order = np.argsort(-counts.sum(axis=1) - 1e-9 * occurrences, kind="stable")
    order = order[occurrences[order] > 0]
    counts, names = counts[np.ix_(order, order)], [labels[index] for index in order]
    if len(names) <= limit:
        return counts, names
    kept = limit - 1
    starts = np.arange(limit)  # the last group goes from `kept` to the end
    counts = np.add.reduceat(np.add.reduceat(counts, starts, axis=0), starts, axis=1)
    return counts, [*names[:kept], OTHERS]


def _write_counts(axes: Axes, counts: np.ndarray, shares: np.ndarray) -> None:
    for row, column in zip(*np.nonzero(counts), strict=True):
        dark = shares[row, column] ** GAMMA > 0.6
        axes.text(
            column, row, _short(int(counts[row, column])), ha="center", va="center", fontsize=7,
            color="white" if dark else TEXT_COLOUR,
        )  # fmt: skip


def _short(count: int) -> str:
    """Returns a count in at most four characters: 987, 1.2k, 12k, 3.4M."""
    for size, unit in ((1_000_000, "M"), (1_000, "k")):
        if count >= size:
            value = count / size
            return f"{value:.1f}{unit}" if value < 9.95 else f"{value:.0f}{unit}"
    return str(count)


def _dress(axes: Axes, names: list[str], title: str) -> None:
    places = range(len(names))
    axes.set_xticks(places, names, rotation=90)
    axes.set_yticks(places, names)
    axes.set_xlabel("prediction", fontsize=9, color=TEXT_COLOUR)
    axes.set_ylabel("reference", fontsize=9, color=TEXT_COLOUR)
    axes.tick_params(colors=TEXT_COLOUR, labelsize=8.5, length=0)
    axes.spines[:].set_color(LINE_COLOUR)
    if title:
        axes.set_title(title, loc="left", fontsize=12, fontweight="bold", color=TEXT_COLOUR)
