"""Fonts that draw texts in any script, and texts that the installed fonts can draw."""

import logging
import unicodedata
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from functools import cache, wraps
from typing import ParamSpec

from matplotlib import font_manager, rc_context
from matplotlib.figure import Figure
from matplotlib.ft2font import FT2Font

log = logging.getLogger(__name__)

FIRST_CHOICE = "DejaVu Sans"
LONGEST_LABEL = 24
Parameters = ParamSpec("Parameters")


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


def plain_texts() -> AbstractContextManager[None]:
    """Has Matplotlib draw texts as they are, within a block: `$` does not begin a formula."""
    return rc_context({"text.parse_math": False})


def plain_text(draw: Callable[Parameters, Figure]) -> Callable[Parameters, Figure]:
    """Has a function that draws a figure draw texts as they are."""

    @wraps(draw)
    def drawn(*args: Parameters.args, **kwargs: Parameters.kwargs) -> Figure:
        with plain_texts():
            return draw(*args, **kwargs)

    return drawn


def readable(token: str, families: Sequence[str]) -> str:
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
