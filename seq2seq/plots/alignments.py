"""Alignments as heat maps: what each target token attended to."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from seq2seq.plots.curves import LINE_COLOUR, TEXT_COLOUR
from seq2seq.plots.fonts import FIRST_CHOICE, fonts_for, plain_text, readable

# Inches.
CELL, LETTER, MARGIN = 0.3, 0.105, 0.4


@plain_text
def alignment_heatmap(
    weights: Sequence[Sequence[float]],
    source_tokens: Sequence[str],
    target_tokens: Sequence[str],
    title: str = "",
) -> Figure:
    """Draws the attention of each target token, a row each, over the source.

    Characters that no installed font can draw are written by their Unicode names, or numbers.

    Args:
        weights: `(target_length, source_length)`, from 0 to 1.
        source_tokens: What stands above the columns.
        target_tokens: What stands beside the rows.
        title: What stands above all.

    Returns:
        The figure. It knows nothing of pyplot, so it needs no closing.

    Raises:
        ValueError: If weights and tokens do not fit.
    """
    values = np.asarray(weights, float)
    if values.shape != (len(target_tokens), len(source_tokens)) or not values.size:
        raise ValueError(
            f"weights: {len(target_tokens)} target and {len(source_tokens)} source tokens need one "
            f"for each pair, got {values.shape}"
        )
    families = [FIRST_CHOICE, *fonts_for("".join([*source_tokens, *target_tokens, title]))]
    columns, rows = (
        [readable(token, families) for token in side] for side in (source_tokens, target_tokens)
    )
    width, height = (
        CELL * len(ours) + LETTER * max(map(len, others)) + MARGIN
        for ours, others in ((columns, rows), (rows, columns))
    )
    figure = Figure(figsize=(width, height), layout="constrained")
    axes = figure.add_subplot()
    axes.imshow(values, cmap="Blues", vmin=0, vmax=1, aspect="auto")
    axes.xaxis.tick_top()
    style: dict[str, Any] = {
        "fontfamily": families,
        "fontsize": 9,
        "color": TEXT_COLOUR,
        "parse_math": False,
    }
    axes.set_xticks(range(len(columns)), columns, rotation=90, **style)
    axes.set_yticks(range(len(rows)), rows, **style)
    axes.set_xticks(np.arange(len(columns) + 1) - 0.5, minor=True)
    axes.set_yticks(np.arange(len(rows) + 1) - 0.5, minor=True)
    axes.grid(which="minor", color=LINE_COLOUR, linewidth=0.4)
    axes.tick_params(which="both", length=0)
    axes.spines[:].set_color(LINE_COLOUR)
    if title:
        axes.set_title(title, loc="left", fontweight="bold", **style)
    return figure
