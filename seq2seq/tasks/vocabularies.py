"""The vocabularies of a task, and from which rows of an old one those of a new one come."""

from collections.abc import Hashable, Sequence
from typing import NamedTuple, Protocol

from seq2seq.data.tokenizers.tokenizer import SPECIAL_TOKENS, UNKNOWN, Tokenizer


class Vocabulary(Protocol):
    """What a vocabulary knows of its tokens, and of those of another vocabulary."""

    @property
    def tokens(self) -> Sequence[Hashable]:
        """What identifies each token, by its id; equal to that of the same token elsewhere."""

    def pieces_of(self, other: "Vocabulary", number: int) -> list[int]:
        """Returns the ids of the pieces of a token of another vocabulary; none if it has none."""


class TokenizerVocabulary:
    """The vocabulary of a tokenizer.

    Args:
        tokenizer: The fitted tokenizer.
    """

    def __init__(self, tokenizer: Tokenizer) -> None:
        self.tokenizer = tokenizer
        self.kind = tokenizer.settings["kind"]
        self.texts = tokenizer.piece_texts()
        # Bytes that a text may fall back on are not the characters that look like them.
        self._reserved = tokenizer.reserved_ids if self.kind == "character" else len(SPECIAL_TOKENS)

    @property
    def tokens(self) -> list[tuple[str, bool, bytes]]:
        """Kind, whether it is reserved, and text of each token; special ones are of any kind."""
        return [
            (
                "special" if number < len(SPECIAL_TOKENS) else self.kind,
                number < self._reserved,
                text,
            )
            for number, text in enumerate(self.texts)
        ]

    def pieces_of(self, other: Vocabulary, number: int) -> list[int]:
        """Returns the ids that this tokenizer encodes the text of the other's token as."""
        assert isinstance(other, TokenizerVocabulary)
        text = other.texts[number]
        if other.kind == "word" and self.kind != "word":  # a word has a space before it
            text = b" " + text
        return [piece for piece in self.tokenizer.encode_piece(text) if piece != UNKNOWN]


class NamedVocabulary:
    """A vocabulary of names without pieces, such as labels.

    Args:
        names: The name of each id.
    """

    def __init__(self, names: Sequence[str]) -> None:
        self.tokens: Sequence[Hashable] = list(names)

    def pieces_of(self, other: Vocabulary, number: int) -> list[int]:
        """Returns nothing: a name has no pieces."""
        return []


class Origins(NamedTuple):
    """Where the rows of a new vocabulary come from.

    Attributes:
        rows: For each new id the old ids whose mean its row is; none for a row of a new model.
        shared: The number of tokens that are in both vocabularies.
        composed: The number of new tokens that have old pieces.
    """

    rows: list[list[int]]
    shared: int
    composed: int

    @property
    def new(self) -> int:
        """The number of tokens that start as in a new model."""
        return len(self.rows) - self.shared - self.composed


def origins(old: Vocabulary, new: Vocabulary) -> Origins:
    """Returns where the rows of a new vocabulary come from in an old one."""
    number_of = {token: number for number, token in enumerate(old.tokens)}
    rows, shared, composed = list[list[int]](), 0, 0
    for number, token in enumerate(new.tokens):
        if token in number_of:
            rows.append([number_of[token]])
            shared += 1
        else:
            rows.append(old.pieces_of(new, number))
            composed += bool(rows[-1])
    return Origins(rows, shared, composed)
