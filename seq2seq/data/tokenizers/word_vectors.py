"""Reads pretrained word vectors from text files of word2vec, GloVe and fastText."""

import logging
from itertools import chain
from pathlib import Path

import numpy as np

from seq2seq.data.formats.text_files import read_lines
from seq2seq.data.records import first_places
from seq2seq.errors import UserError

log = logging.getLogger(__name__)

_MAXIMUM_HEADER_DIGITS = 10  # of each number; longer ones are vectors


def read_word_vectors(path: Path, maximum_words: int | None = None) -> tuple[list[str], np.ndarray]:
    """Reads words and their vectors, one per line of a text file, plain or gzip.

    A header of two integers, as word2vec and fastText write it, is skipped. Lines with invalid
    numbers and repeated words are skipped and reported in the log.

    Args:
        path: The file.
        maximum_words: How many words are read, from the first; `None` for all.

    Returns:
        The words, and their vectors, float32 `(words, width)`.

    Raises:
        UserError: If the file cannot be read, holds no vector, or vectors of two widths.
    """
    if path.exists() and not path.is_file():
        raise UserError(f"{path}: is no file; word vectors are read twice, from a file.")
    vectors: dict[str, np.ndarray] = {}
    skipped: list[str] = []
    width = _width(path)
    for number, line in enumerate(read_lines(path), start=1):
        if maximum_words is not None and len(vectors) >= maximum_words:
            break
        cells = line.rstrip().split(" ")
        if cells == [""] or (number == 1 and _is_header(line)):
            continue
        if len(cells) not in (1, width + 1) and _numbers(cells[1:]) is not None:
            raise UserError(
                f"{path}:{number}: {len(cells) - 1} numbers, but the vectors before have {width}. "
                "All vectors of a file must have the same width; is it cut off, or two in one?"
            )
        word = " ".join(cells[:-width])  # some words of GloVe hold blanks
        vector = _numbers(cells[-width:])
        if len(cells) <= width or vector is None or word in vectors:
            skipped.append(f"{path}:{number}")
            continue
        vectors[word] = vector
    if not vectors:
        raise UserError(f"{path}: there is no line of a word and its numbers.")
    if skipped:
        total = len(skipped) + len(vectors)
        message = "%d of %d word vectors skipped, invalid or repeated: %s"
        log.warning(message, len(skipped), total, first_places(skipped))
    return list(vectors), np.stack(list(vectors.values()))


def _is_header(line: str) -> bool:
    cells = line.split()
    are_counts = (cell.isdecimal() and len(cell) < _MAXIMUM_HEADER_DIGITS for cell in cells)
    return len(cells) == 2 and all(are_counts)


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
