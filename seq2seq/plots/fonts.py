"""Fonts for labels in any script, and labels that the installed fonts can draw."""

import logging
import unicodedata
from collections.abc import Iterable, Sequence
from contextlib import suppress
from functools import cache

from matplotlib import font_manager
from matplotlib.ft2font import FT2Font

log = logging.getLogger(__name__)

DEFAULT_FAMILY = "DejaVu Sans"
MAX_LABEL_LENGTH = 24


@cache
def fonts_for(*texts: str) -> list[str]:
    """Returns the font families that draw texts: the default one and as few others as needed."""
    families = [DEFAULT_FAMILY]
    missing = {ord(character) for character in "".join(texts)} - _characters(DEFAULT_FAMILY)
    while missing:
        best = max(_families(), key=lambda family: len(missing & _characters(family)))
        if not missing & _characters(best):
            break
        families.append(best)
        missing -= _characters(best)
    if missing:
        log.warning(
            "No installed font draws %s: such characters are written by their names. Fonts for all "
            "scripts are in the package fonts-noto (fonts-noto-cjk).",
            " ".join(map(chr, sorted(missing)[:5])),
        )
    return families


def _add_new_fonts() -> None:
    """Adds the fonts that were installed since Matplotlib wrote its cache of them."""
    known = {font.fname for font in font_manager.fontManager.ttflist}
    for path in set(font_manager.findSystemFonts()) - known:
        with suppress(OSError, RuntimeError):  # of formats that cannot be read, such as bitmaps
            font_manager.fontManager.addfont(path)


@cache
def _families() -> dict[str, tuple[str, int]]:
    """Returns the file and the face index of each family's regular font."""
    _add_new_fonts()
    return {
        font.name: (font.fname, getattr(font, "index", 0))
        for font in font_manager.fontManager.ttflist
        if font.style == "normal" and font.weight == 400 and "Last Resort" not in font.name
    }


@cache
def _characters(family: str) -> frozenset[int]:
    """Returns the characters that a family has glyphs for."""
    path, face = _families()[family]
    return frozenset(FT2Font(path, face_index=face).get_charmap())


def drawable(texts: Iterable[str], families: Sequence[str]) -> list[str]:
    """Shortens texts, and replaces the characters that no family draws by their names."""
    drawn = frozenset().union(*map(_characters, families))
    labels = []
    for text in texts:
        label = "".join(
            character if ord(character) in drawn and character.isprintable() else _name(character)
            for character in text
        )
        is_long = len(label) > MAX_LABEL_LENGTH
        labels.append(label[: MAX_LABEL_LENGTH - 1] + "…" if is_long else label)
    return labels


def _name(character: str) -> str:
    """Returns the last word of a character's name, as `ka` of HIRAGANA LETTER KA, or its number."""
    name = unicodedata.name(character, "")
    if not name or "IDEOGRAPH" in name:
        return f"<{ord(character):X}>"
    return f"<{name.split()[-1].lower()}>"
