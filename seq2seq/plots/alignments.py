"""Heat maps of alignments: which source tokens each target token attends to."""

from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure

from seq2seq.plots.figure import figure_style
from seq2seq.plots.fonts import drawable, fonts_for

CELL, LETTER, MARGIN = 0.3, 0.105, 0.4  # inches


@figure_style()
def alignment_heatmap(
    weights: Sequence[Sequence[float]],
    source_tokens: Sequence[str],
    target_tokens: Sequence[str],
) -> Figure:
    """Draws attention weights `(target_length, source_length)`, from 0 to 1.

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
    width = CELL * len(columns) + LETTER * max(map(len, rows)) + MARGIN
    height = CELL * len(rows) + LETTER * max(map(len, columns)) + MARGIN
    figure = Figure(figsize=(width, height), layout="constrained")
    axes = figure.add_subplot()
    axes.imshow(values, cmap="Blues", vmin=0, vmax=1, aspect="auto")
    axes.xaxis.tick_top()
    axes.set_xticks(range(len(columns)), columns, rotation=90, fontfamily=families, fontsize=9)
    axes.set_yticks(range(len(rows)), rows, fontfamily=families, fontsize=9)
    axes.set_xticks(np.arange(len(columns) + 1) - 0.5, minor=True)
    axes.set_yticks(np.arange(len(rows) + 1) - 0.5, minor=True)
    axes.grid(which="minor", linewidth=0.4, alpha=1)
    return figure
