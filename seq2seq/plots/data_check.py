"""The figure of `seq2seq check`: lengths, labels, unknown tokens and duplicates of the splits."""

from collections.abc import Mapping

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from seq2seq.plots.figure import COLOURS, figure_style, style_axes

SHOWN_LABELS, BINS = 15, 40

Shares = Mapping[str, Mapping[str, float]]
"""By split, a share of each name."""


@figure_style()
def data_figure(
    lengths: Mapping[str, Mapping[str, np.ndarray]],
    labels: Mapping[str, Mapping[str, int]],
    unknown: Shares,
    duplicates: Shares,
) -> Figure:
    """Draws what the splits of data look like, in a panel for each measure that they have.

    Args:
        lengths: By column and split, how many rows have the length 0, 1, ...
        labels: By split, how often each label occurs.
        unknown: By split, the share of unknown tokens in each column.
        duplicates: By split, the share of records of each kind of duplicate.

    Raises:
        ValueError: If there is no column.
    """
    if not lengths:
        raise ValueError("There is no column to draw.")
    has_labels, has_unknown = any(labels.values()), any(unknown.values())
    count = len(lengths) + has_labels + has_unknown + 1
    columns = min(count, 2)
    rows = -(-count // columns)
    figure = Figure(figsize=(5 * columns, 3.2 * rows), layout="constrained")
    panels = iter(figure.subplots(rows, columns, squeeze=False).flat)
    for name, counts in lengths.items():
        _draw_lengths(next(panels), name, counts)
    if has_labels:
        _draw_shares(next(panels), f"labels (at most {SHOWN_LABELS})", _label_shares(labels))
    if has_unknown:
        _draw_shares(next(panels), "unknown tokens", unknown)
    _draw_shares(next(panels), "duplicates", duplicates)
    for axes in panels:
        axes.set_visible(False)
    return figure


def _draw_lengths(axes: Axes, name: str, counts: Mapping[str, np.ndarray]) -> None:
    longest = max(len(of_split) for of_split in counts.values())
    edges = np.unique(np.linspace(0, longest, min(longest, BINS) + 1).round())
    for colour, (split, of_split) in zip(COLOURS, counts.items(), strict=False):
        shares, _ = np.histogram(np.arange(len(of_split)), edges, weights=of_split)
        shares = shares / max(of_split.sum(), 1)
        axes.stairs(100 * shares, edges, color=colour, linewidth=1.5, label=split)
    axes.set_title(f"length of {name}")
    axes.set_ylabel("% of the records")
    axes.legend()
    style_axes(axes)


def _label_shares(labels: Mapping[str, Mapping[str, int]]) -> dict[str, dict[str, float]]:
    """Returns the shares of the most frequent labels of the first split."""
    first = next(iter(labels.values()))
    names = sorted(first, key=lambda name: -first[name])[:SHOWN_LABELS]
    return {
        split: {name: counts[name] / max(sum(counts.values()), 1) for name in names}
        for split, counts in labels.items()
    }


def _draw_shares(axes: Axes, title: str, shares: Shares) -> None:
    """Draws a group of bars, one for each split, for each name."""
    names = list(next(iter(shares.values())))
    height = 0.8 / len(shares)
    for number, (split, values) in enumerate(shares.items()):
        places = np.arange(len(names)) + (number - (len(shares) - 1) / 2) * height
        percent = [100 * values[name] for name in names]
        axes.barh(places, percent, height, color=COLOURS[number % len(COLOURS)], label=split)
    axes.set_yticks(np.arange(len(names)), names)
    axes.invert_yaxis()
    axes.set_title(title)
    axes.set_xlabel("%")
    axes.legend()
    style_axes(axes, grid="x")
