"""Word alignments of parallel text, in the format of Pharaoh, and their expansion to tokens.

A line `0-0 1-2` says that word 0 of the source is aligned with word 0 of the target, and word 1
with word 2. Words are separated by white space.
"""

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path
from typing import Protocol

import numpy as np

from seq2seq.data.formats.text_files import read_lines
from seq2seq.data.records import PlacedRecord, Record
from seq2seq.errors import UserError

_LINK = re.compile(r"(\d+)-(\d+)", re.ASCII)


def links_of(line: str) -> list[tuple[int, int]]:
    """Returns the pairs of source word and target word of a line.

    Raises:
        ValueError: If a part of the line is no such pair.
    """
    links = []
    for part in line.split():
        match = _LINK.fullmatch(part)
        if match is None:
            raise ValueError(
                f"{part!r} is no alignment of two words: SOURCE-TARGET, such as 1-2, is expected"
            )
        links.append((int(match[1]), int(match[2])))
    return links


def with_alignments(records: Iterable[Record], path: Path) -> Iterator[PlacedRecord]:
    """Adds the lines of an alignment file to records of `source` and `target`, as `alignment`.

    Raises:
        UserError: If a line is missing, is no alignment, or names a word that a text does not have.
    """
    lines = zip_longest(records, read_lines(path))
    for number, (record, line) in enumerate(lines, start=1):
        if record is None or line is None:
            longer, shorter = number + sum(1 for _ in lines), number - 1
            counts = (shorter, longer) if line is None else (longer, shorter)
            raise UserError(
                f"{path}:{number}: the alignments have {counts[0]} lines, but the texts have "
                f"{counts[1]}: line N of the alignments must belong to line N of the texts."
            )
        place = f"{path}:{number}"
        _check(line, record, place)
        yield PlacedRecord({**record, "alignment": line}, place)


def _check(line: str, record: Record, place: str) -> None:
    try:
        links = links_of(line)
    except ValueError as error:
        raise UserError(f"{place}: {error}.") from None
    counts = [len(record[side].split()) for side in ("source", "target")]
    for link in links:
        for word, side, count in zip(link, ("source", "target"), counts, strict=True):
            if word >= count:
                raise UserError(
                    f"{place}: {link[0]}-{link[1]} names word {word} of the {side}, which has "
                    f"{count} word(s). Words count from 0."
                )


@dataclass(frozen=True)
class Links:
    """Encodes lines of alignments as the numbers in them: an `Encoder` of a `TokenStore`."""

    fingerprint: str = "links"

    def encode(self, lines: Sequence[str]) -> list[np.ndarray]:
        """Returns the source word and the target word of each link, int32 `(2 * links,)`."""
        return [np.array(links_of(line), np.int32).reshape(-1) for line in lines]


class WordNumberer(Protocol):
    """A tokenizer, also one that samples its tokens."""

    @property
    def fingerprint(self) -> str:
        """A hash of everything that determines the tokens."""

    def word_numbers(self, texts: Sequence[str]) -> list[np.ndarray]:
        """Returns the number of the word of each token; see `Tokenizer.word_numbers`."""


@dataclass(frozen=True)
class WordNumbers:
    """Encodes texts as the number of each token's word: an `Encoder` of a `TokenStore`."""

    tokenizer: WordNumberer

    @property
    def fingerprint(self) -> str:
        """A hash of everything that determines the numbers."""
        return f"words {self.tokenizer.fingerprint}"

    def encode(self, texts: Sequence[str]) -> list[np.ndarray]:
        """Returns the word of each token, int32 `(length,)`; -1 for white space."""
        return self.tokenizer.word_numbers(texts)


def words_of_characters(text: str) -> np.ndarray:
    """Returns the number of each character's word, int32 `(characters,)`; -1 for white space."""
    is_text = np.array([not character.isspace() for character in text], bool)
    starts = is_text & ~np.concatenate([[False], is_text[:-1]])
    return np.where(is_text, np.cumsum(starts) - 1, -1).astype(np.int32)


def token_alignments(
    links: tuple[np.ndarray, np.ndarray],
    source_words: tuple[np.ndarray, np.ndarray],
    target_words: tuple[np.ndarray, np.ndarray],
) -> np.ndarray:
    """Expands the alignments of words to their tokens.

    Each token of a word is aligned with all tokens of the words that the word is aligned with, in
    equal shares. White space is aligned with nothing.

    Args:
        links: Those of `Links`, padded, `(batch, 2 * links)`, and how many numbers each row has.
        source_words: The words of the source tokens, `(batch, source_length)`, and the lengths.
        target_words: The same for the target.

    Returns:
        Float32 `(batch, target_length, source_length)`: the shares of the source tokens in each
        target token, which add up to 1, or to 0 where it is aligned with nothing.
    """
    sources, targets = _without_padding(*source_words), _without_padding(*target_words)
    pairs, counts = links
    pairs = pairs.reshape(len(pairs), -1, 2)
    is_link = np.arange(pairs.shape[1]) < counts[:, np.newaxis] // 2
    rows = np.broadcast_to(np.arange(len(pairs))[:, np.newaxis], is_link.shape)[is_link]
    linked_source, linked_target = pairs[is_link].T
    # One more row and column, which -1 refers to, and which stay empty.
    width = 2 + max(sources.max(initial=-1), linked_source.max(initial=-1))
    height = 2 + max(targets.max(initial=-1), linked_target.max(initial=-1))
    is_linked = np.zeros((len(pairs), height, width), np.float32)
    is_linked[rows, linked_target, linked_source] = 1
    row = np.arange(len(pairs))[:, np.newaxis, np.newaxis]
    aligned = is_linked[row, targets[:, :, np.newaxis], sources[:, np.newaxis]]
    return aligned / np.maximum(aligned.sum(axis=-1, keepdims=True), 1)


def _without_padding(words: np.ndarray, lengths: np.ndarray) -> np.ndarray:
    return np.where(np.arange(words.shape[1]) < lengths[:, np.newaxis], words, -1)
