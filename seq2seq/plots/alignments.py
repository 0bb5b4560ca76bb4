"""Heat maps of alignments: which source tokens each target token attends to."""

from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure

from seq2seq.plots.figure import figure_style
from seq2seq.plots.fonts import drawable, fonts_for

CELL, LETTER, MARGIN = 0.3, 0.105, 1.0  # inches
MAX_SIZE, MIN_LABEL = 15.0, 0.15
"""The maximum width and height of all cells, and the least room for a label, in inches."""
MAX_GRID = 100
"""Beyond so many tokens, there are no lines between the cells."""


@figure_style()
def alignment_heatmap(
    weights: Sequence[Sequence[float]],
    source_tokens: Sequence[str],
    target_tokens: Sequence[str],
) -> Figure:
    """Draws attention weights `(target_length, source_length)`, from 0 to 1.

    Of many tokens, every second, third, ... is labelled.

    Raises:
        ValueError: If weights and tokens do not fit.
    """
    values = np.asarray(weights, float)
    if values.shape != (len(target_tokens), len(source_tokens)) or not values.size:
        raise ValueError(
            f"weights: {len(target_tokens)} target and {len(source_tokens)} source tokens need one "
            f"for each pair, got {values.shape}"
        )
    families = fonts_for(*source_tokens, *target_tokens)
    columns, rows = drawable(source_tokens, families), drawable(target_tokens, families)
    cell = min(CELL, MAX_SIZE / max(values.shape))
    width = max(cell * len(columns) + LETTER * max(map(len, rows)), 2.0) + MARGIN + 0.5
    height = max(cell * len(rows) + LETTER * max(map(len, columns)), 1.0) + MARGIN
    figure = Figure(figsize=(width, height), layout="constrained")
    axes = figure.add_subplot()
    image = axes.imshow(values, cmap="Blues", vmin=0, vmax=1, aspect="auto")
    axes.set_title("Attention")
    axes.set_xlabel("source token")
    axes.set_ylabel("target token")
    axes.xaxis.tick_top()
    axes.xaxis.set_label_position("top")
    every = slice(None, None, int(np.ceil(MIN_LABEL / cell)))
    axes.set_xticks(range(len(columns))[every], columns[every], rotation=90, fontfamily=families)
    axes.set_yticks(range(len(rows))[every], rows[every], fontfamily=families)
    if max(values.shape) <= MAX_GRID:
        axes.set_xticks(np.arange(len(columns) + 1) - 0.5, minor=True)
        axes.set_yticks(np.arange(len(rows) + 1) - 0.5, minor=True)
        axes.grid(which="minor", linewidth=0.4, alpha=1)
    bar = figure.colorbar(image, ax=axes, fraction=0.05, pad=0.02, aspect=25)
    bar.set_label("attention weight")
    bar.outline.set_visible(False)  # type: ignore[operator]
    return figure
