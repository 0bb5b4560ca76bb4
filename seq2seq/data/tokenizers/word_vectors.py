"""Reads pretrained word vectors from text files of word2vec, GloVe and fastText."""

import logging
from collections.abc import Iterator
from itertools import chain
from pathlib import Path

import numpy as np

from seq2seq.data.formats.text_files import read_lines
from seq2seq.errors import UserError

log = logging.getLogger(__name__)

_SHOWN_PLACES = 5
_HEADER_DIGITS = 10  # of a number in a header, at most


def read_word_vectors(path: Path, maximum_words: int | None = None) -> tuple[list[str], np.ndarray]:
    """Reads a text file, plain or gzip, with a word and its vector a line.

    A header of two integers, as word2vec and fastText write it, is skipped. Lines with invalid
    numbers and repeated words are left out; their number is logged.

    Args:
        path: The file.
        maximum_words: How many words are read, from the first; `None` for all.

    Returns:
        The words, and their vectors, float32 `(words, width)`.

    Raises:
        UserError: If the file cannot be read, holds no vector, or vectors of two widths.
    """
    if path.exists() and not path.is_file():
        raise UserError(f"{path}: is no file; word vectors are read from a file, twice.")
    words: dict[str, int] = {}
    vectors: list[np.ndarray] = []
    broken: list[str] = []
    width = _width(path)
    for number, line in _lines(path):
        if maximum_words is not None and len(words) >= maximum_words:
            break
        cells = line.rstrip().split(" ")
        if cells == [""]:
            continue
        if len(cells) <= width:
            _refuse_other_width(path, number, cells[1:], width)
            broken.append(f"{path}:{number}")
            continue
        word = " ".join(cells[:-width])  # some of GloVe's hold blanks
        if len(cells) > width + 1 and _numbers(cells[1:]) is not None:
            _refuse_other_width(path, number, cells[1:], width)
        vector = _numbers(cells[-width:])
        if vector is None or word in words:
            broken.append(f"{path}:{number}")
            continue
        words[word] = number
        vectors.append(vector)
    if not words:
        raise UserError(f"{path}: there is no line of a word and its numbers.")
    if broken:
        more = ", ..." if len(broken) > _SHOWN_PLACES else ""
        log.warning(
            "%d of %d word vectors left out, broken or given twice: %s%s",
            len(broken),
            len(broken) + len(words),
            ", ".join(broken[:_SHOWN_PLACES]),
            more,
        )
    return list(words), np.stack(vectors)


def _lines(path: Path) -> Iterator[tuple[int, str]]:
    """Yields line numbers and lines, without the header."""
    numbered = enumerate(read_lines(path), start=1)
    first = next(numbered, None)
    if first is None or _is_header(first[1]):
        return numbered
    return chain([first], numbered)


def _is_header(line: str) -> bool:
    cells = line.split()
    return len(cells) == 2 and all(
        cell.isdecimal() and len(cell) < _HEADER_DIGITS for cell in cells
    )


def _width(path: Path) -> int:
    """Returns the width of the vectors, by the header or the first valid line."""
    lines = read_lines(path)
    first = next(lines, "")
    if _is_header(first) and int(first.split()[1]):
        return int(first.split()[1])
    for line in chain([first], lines):
        cells = line.rstrip().split(" ")
        if len(cells) > 1 and _numbers(cells[1:]) is not None:
            return len(cells) - 1
    raise UserError(f"{path}: there is no line of a word and its numbers.")


def _numbers(cells: list[str]) -> np.ndarray | None:
    """Returns float32 numbers, or `None` if one of them is invalid or not finite."""
    try:
        vector = np.array(cells, np.float32)
    except ValueError:
        return None
    return vector if np.isfinite(vector).all() else None


def _refuse_other_width(path: Path, number: int, cells: list[str], width: int) -> None:
    if cells and _numbers(cells) is not None:
        raise UserError(
            f"{path}:{number}: {len(cells)} numbers, but the vectors before have {width}. The "
            "vectors of a file must have one width; is it two files in one, or cut off?"
        )
