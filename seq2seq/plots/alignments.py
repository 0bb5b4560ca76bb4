"""Alignments as heat maps: what each target token attended to."""

import logging
import unicodedata
from collections.abc import Sequence
from functools import cache
from typing import Any

import numpy as np
from matplotlib import font_manager
from matplotlib.figure import Figure
from matplotlib.ft2font import FT2Font

from seq2seq.plots.curves import LINE_COLOUR, TEXT_COLOUR

log = logging.getLogger(__name__)

FIRST_CHOICE = "DejaVu Sans"
# Inches.
CELL, LETTER, MARGIN = 0.3, 0.105, 0.4
LONGEST_LABEL = 24


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
        [_label(token, families) for token in side] for side in (source_tokens, target_tokens)
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


@cache
def fonts_for(text: str) -> list[str]:
    """Returns installed font families that draw what the first choice cannot, as few as needed."""
    missing = {ord(c) for c in text} - _drawn_by(FIRST_CHOICE)
    chosen: list[str] = []
    while missing:
        best = max(_families(), key=lambda name: len(missing & _drawn_by(name)))
        found = missing & _drawn_by(best)
        if not found:
            break
        chosen.append(best)
        missing -= found
    if missing:
        log.warning(
            "No installed font draws %s: such characters are written by their names. Fonts for all "
            "scripts are in the package fonts-noto (fonts-noto-cjk).",
            " ".join(map(chr, sorted(missing)[:5])),
        )
    return chosen


@cache
def _families() -> dict[str, tuple[str, int]]:
    """Returns the file and the face of each family's regular font."""
    return {
        font.name: (font.fname, getattr(font, "index", 0))
        for font in font_manager.fontManager.ttflist
        if font.style == "normal" and font.weight == 400 and "Last Resort" not in font.name
    }


@cache
def _drawn_by(family: str) -> frozenset[int]:
    """Returns the characters that a family has glyphs for."""
    path, face = _families()[family]
    return frozenset(FT2Font(path, face_index=face).get_charmap())


def _label(token: str, families: Sequence[str]) -> str:
    """Returns a token that can be drawn and is not too long."""
    drawn = frozenset().union(*map(_drawn_by, families))
    text = "".join(c if ord(c) in drawn and c.isprintable() else _named(c) for c in token)
    return text if len(text) <= LONGEST_LABEL else text[: LONGEST_LABEL - 1] + "…"


def _named(character: str) -> str:
    """Returns the last word of a character's name, as `KA` of HIRAGANA LETTER KA, or its number."""
    name = unicodedata.name(character, "")
    if not name or "IDEOGRAPH" in name:
        return f"<{ord(character):X}>"
    return f"<{name.split()[-1].lower()}>"
