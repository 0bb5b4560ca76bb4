"""Input features of tokens: words, characters, casing, further columns, pretrained vectors."""

import hashlib
import json
import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np

from seq2seq.data.formats.json_lines import open_model_file
from seq2seq.data.records import field_value
from seq2seq.data.token_store import ColumnSpec
from seq2seq.data.tokenizers.vocabulary import RESERVED, UNKNOWN, Vocabulary
from seq2seq.data.tokenizers.word_splitter import WORDS, WordSplitter
from seq2seq.data.tokenizers.word_vectors import read_word_vectors
from seq2seq.errors import UserError

PaddedColumn = Callable[[str], tuple[np.ndarray, np.ndarray]]
"""Returns a column of a batch by name: ids `(rows, length)`, 0 at padding; lengths `(rows,)`."""

_Encode = Callable[[Sequence[str]], np.ndarray]

CASINGS = ("lower", "title", "upper", "mixed", "digits", "with digits", "others")

_DIGIT = re.compile(r"\d")
_FORMAT_VERSION = 1


class TokenFeatures:
    """Maps tokens to ids, with vocabularies learned from the training split alone.

    Args:
        lowercase: Whether words are lower-cased; characters and casing are of the original.
        zero_digits: Whether every digit of a word becomes 0; not of its characters.
        minimum_frequency: How often a word must occur to enter the vocabulary.
        maximum_words: The largest number of words; `None` for all.
        characters: Whether characters are a feature.
        minimum_character_frequency: How often a character must occur to enter the vocabulary.
        maximum_word_length: Longer words are reduced to this many first and last characters.
        casing: Whether the casing, one of `CASINGS`, is a feature.
        columns: Further fields of the records, with a text for each token.
        vectors: A text file of pretrained word vectors.
        maximum_vectors: How many of its vectors are read, from the first; `None` for all.
        pattern: Matches a token of a raw sentence, see `WordSplitter`.

    Example:
        >>> features = TokenFeatures(columns=["pos"])
        >>> features.fit([{"tokens": ["A", "dog"], "pos": ["DT", "NN"]}])
        >>> features.store_columns()["words"].encoder.encode([["A", "cat"]])
        [array([2, 1], dtype=int32)]
    """

    def __init__(
        self,
        lowercase: bool = True,
        zero_digits: bool = True,
        minimum_frequency: int = 1,
        maximum_words: int | None = None,
        characters: bool = True,
        minimum_character_frequency: int = 1,
        maximum_word_length: int = 32,
        casing: bool = True,
        columns: Sequence[str] = (),
        vectors: str | None = None,
        maximum_vectors: int | None = None,
        pattern: str = WORDS,
    ) -> None:
        self.settings: dict[str, Any] = {**locals(), "columns": list(columns)}
        del self.settings["self"]
        for name in ("minimum_frequency", "minimum_character_frequency", "maximum_word_length"):
            value = self.settings[name]
            if not isinstance(value, int):
                raise UserError(f"tokenizer.{name}={value!r} is not an integer.")
            if value < 1:
                raise UserError(f"tokenizer.{name}={value} is below 1.")
        reserved = {"tokens", "labels", "words", "length", "casing", "characters"} & set(columns)
        if reserved:
            raise UserError(f"tokenizer.columns: {', '.join(sorted(reserved))} cannot be a column.")
        self.split = WordSplitter(pattern)
        self.forms: frozenset[str] = frozenset()
        self.words = Vocabulary()
        self.vector_words = Vocabulary()
        self.characters = Vocabulary()
        self.columns: dict[str, Vocabulary] = {}
        self.vector_shape: list[int] | None = None

    def fit(self, records: Iterable[Mapping[str, Any]]) -> np.ndarray | None:
        """Learns the vocabularies from training records.

        Returns:
            The pretrained vectors, float32 `(len(vector_words), width)`, with zeros for padding and
            unknown words; `None` without a file of vectors.

        Raises:
            UserError: If there is nothing to learn from, a record lacks a column, or the vectors
                cannot be read.
        """
        settings = self.settings
        tokens: Counter[str] = Counter()
        values: dict[str, Counter[str]] = {name: Counter() for name in settings["columns"]}
        for record in records:
            tokens.update(record["tokens"])
            for name, counts in values.items():
                counts.update(field_value(record, name, f"tokenizer.columns: {name}"))
        self.forms = frozenset(tokens)
        words: Counter[str] = Counter()
        characters: Counter[str] = Counter()
        for token, count in tokens.items():
            words[self._word(token)] += count
            for character in token:
                characters[character] += count
        self.words = Vocabulary.of(words, settings["minimum_frequency"], settings["maximum_words"])
        if not self.words.items:
            raise UserError("The training sentences hold no word that is frequent enough to keep.")
        self.characters = Vocabulary.of(characters, settings["minimum_character_frequency"])
        self.columns = {name: Vocabulary.of(counts) for name, counts in values.items()}
        if settings["vectors"] is None:
            return None
        path, limit = Path(settings["vectors"]), settings["maximum_vectors"]
        vector_words, vectors = read_word_vectors(path, limit)
        self.vector_words = Vocabulary(vector_words)
        self.vector_shape = [len(self.vector_words), vectors.shape[1]]
        return np.pad(vectors, ((RESERVED, 0), (0, 0)))

    def _word(self, token: str) -> str:
        """Returns the item of the word vocabulary for a token."""
        word = token.lower() if self.settings["lowercase"] else token
        return _DIGIT.sub("0", word) if self.settings["zero_digits"] else word

    def is_known(self, token: str) -> bool:
        """Returns whether a token occurs in the training sentences in exactly this form."""
        return token in self.forms

    @property
    def word_pieces(self) -> list[str]:
        """The word of each id, written as by `Tokenizer.pieces`."""
        return ["<pad>", "<unk>", *self.words.items]

    @property
    def sizes(self) -> dict[str, Any]:
        """The vocabulary sizes of the features, an argument of the model's constructor."""
        columns = {name: len(vocabulary) for name, vocabulary in self.columns.items()}
        if self.settings["casing"]:
            columns["casing"] = len(CASINGS) + 1
        return {
            "words": len(self.words),
            "characters": len(self.characters) if self.settings["characters"] else 0,
            "columns": columns,
            "vectors": self.vector_shape,
        }

    def store_columns(self) -> dict[str, ColumnSpec]:
        """Returns the columns of a `TokenStore` that hold the features of sentences."""
        columns = self.store_columns_without_characters()
        if self.settings["characters"]:
            characters = _SentenceEncoder(self._sentence_characters, "characters", self)
            lengths = _TokenEncoder(self._word_lengths, "word_lengths", self)
            columns["characters"] = ColumnSpec("tokens", characters)
            columns["word_lengths"] = ColumnSpec("tokens", lengths)
        return columns

    def store_columns_without_characters(self) -> dict[str, ColumnSpec]:
        """Returns `store_columns` without the characters."""
        encoders: dict[str, tuple[str, _Encode]] = {
            "words": ("tokens", lambda tokens: self.words.ids([*map(self._word, tokens)]))
        }
        if self.vector_words.items:
            encoders["vectors"] = ("tokens", self._vector_ids)
        if self.settings["casing"]:
            encoders["casing"] = ("tokens", lambda tokens: np.array([*map(casing, tokens)]))
        for name, vocabulary in self.columns.items():
            encoders[name] = (name, vocabulary.ids)
        return {
            name: ColumnSpec(field, _TokenEncoder(encode, name, self))
            for name, (field, encode) in encoders.items()
        }

    def inputs(self, padded: PaddedColumn) -> dict[str, np.ndarray]:
        """Returns the model's inputs for a batch of sentences.

        The characters of each distinct word are given once: `characters`, int32 `(spellings,
        characters)`, with `character_length` `(spellings,)`, and `spelling`, the index of each
        token's spelling, int32 `(rows, tokens)`.
        """
        inputs = self.inputs_without_characters(padded)
        if self.settings["characters"]:
            inputs |= spellings(padded("characters")[0], padded("word_lengths")[0])
        return inputs

    def inputs_without_characters(self, padded: PaddedColumn) -> dict[str, np.ndarray]:
        """Returns `inputs` without the characters."""
        words, length = padded("words")
        inputs = {"words": words, "length": length}
        if self.vector_words.items:
            inputs["vectors"] = padded("vectors")[0]
        return inputs | {name: padded(name)[0] for name in self.sizes["columns"]}

    def character_ids(self, tokens: Sequence[str]) -> list[np.ndarray]:
        """Returns the ids of each token's characters, at least one."""
        return [self.characters.ids(self._characters_of(token)) for token in tokens]

    @property
    def ranks(self) -> dict[str, int]:
        """The rank of each tensor of `inputs`."""
        ranks = {"words": 2, "length": 1, **dict.fromkeys(self.sizes["columns"], 2)}
        if self.vector_words.items:
            ranks["vectors"] = 2
        if self.settings["characters"]:
            ranks |= {"characters": 2, "character_length": 1, "spelling": 2}
        return ranks

    def _vector_ids(self, tokens: Sequence[str]) -> np.ndarray:
        """Returns ids of pretrained words: as written, in lower case, or with digits as 0."""

        def known_form(token: str) -> str:
            lower = token.lower()
            forms = (token, lower, _DIGIT.sub("0", lower))
            return next((form for form in forms if form in self.vector_words), token)

        return self.vector_words.ids([*map(known_form, tokens)])

    def _sentence_characters(self, tokens: Sequence[str]) -> np.ndarray:
        return self.characters.ids([*chain.from_iterable(map(self._characters_of, tokens))])

    def _word_lengths(self, tokens: Sequence[str]) -> np.ndarray:
        return np.array([len(self._characters_of(token)) for token in tokens], np.int32)

    def _characters_of(self, token: str) -> str:
        """Returns the characters of a token that are used, at least one."""
        limit = self.settings["maximum_word_length"]
        if len(token) <= limit:
            return token or " "
        return token[: (limit + 1) // 2] + token[len(token) - limit // 2 :]

    @property
    def fingerprint(self) -> str:
        """A hash of the settings and the vocabularies, in hexadecimal."""
        return hashlib.sha256(json.dumps(self._content()).encode()).hexdigest()

    def _content(self) -> dict[str, Any]:
        return {
            "format_version": _FORMAT_VERSION,
            "settings": self.settings,
            "forms": sorted(self.forms),
            "words": self.words.items,
            "vector_words": self.vector_words.items,
            "characters": self.characters.items,
            "columns": {name: vocabulary.items for name, vocabulary in self.columns.items()},
            "vector_shape": self.vector_shape,
        }

    def save(self, path: Path) -> None:
        """Writes settings and vocabularies as one JSON file."""
        path.write_text(json.dumps(self._content(), ensure_ascii=False), encoding="utf-8")

    def standard_json(self) -> str:
        """Returns the vocabularies and how tokens become ids, for other programs."""
        settings = self.settings
        vocabularies = {"words": self.words, "characters": self.characters, **self.columns}
        if self.vector_words.items:
            vocabularies["vectors"] = self.vector_words
        content = {
            "ids": {name: items.ids_by_item() for name, items in vocabularies.items()},
            "padding": 0,
            "unknown": UNKNOWN,
            "token_pattern": settings["pattern"],
            "lowercase": settings["lowercase"],
            "zero_digits": settings["zero_digits"],
            "maximum_word_length": settings["maximum_word_length"],
            "casings": list(CASINGS) if settings["casing"] else [],
        }
        return json.dumps(content, ensure_ascii=False, indent=1)

    @classmethod
    def load(cls, path: Path) -> "TokenFeatures":
        """Reads what `save` wrote, without the file of vectors; raises as `open_model_file`."""
        with open_model_file(path, "vocabulary of tokens", _FORMAT_VERSION) as content:
            features = cls(**content["settings"])
            features.forms = frozenset(content["forms"])
            for name in ("words", "vector_words", "characters"):
                setattr(features, name, Vocabulary.from_json(content[name]))
            columns = content["columns"].items()
            features.columns = {name: Vocabulary.from_json(items) for name, items in columns}
            if sorted(features.columns) != sorted(features.settings["columns"]):
                raise ValueError("its columns are not those of its settings")
            features.vector_shape = _checked_shape(content["vector_shape"], features.vector_words)
        return features


def _checked_shape(shape: Any, words: Vocabulary) -> list[int] | None:
    """Returns the shape of the vectors; raises ValueError if it does not fit the words."""
    if shape is None and not words.items:
        return None
    if not isinstance(shape, list) or [type(size) for size in shape] != [int, int]:
        raise ValueError(f"vector_shape {shape!r:.80}")
    if shape[0] != len(words) or shape[1] < 1:
        raise ValueError(f"vector_shape {shape} for {len(words)} words")
    return shape


def distinct_with_indices(
    rows: Sequence[Sequence[str]],
) -> tuple[list[str], list[np.ndarray]]:
    """Returns the distinct items of all rows, and the rows as indices into that list."""
    index_of: dict[str, int] = {}
    indices = [
        np.array([index_of.setdefault(item, len(index_of)) for item in row], np.int32)
        for row in rows
    ]
    return list(index_of), indices


class _SentenceEncoder:
    """Encodes a column, sentence by sentence."""

    def __init__(self, encode: _Encode, name: str, features: TokenFeatures) -> None:
        self._encode, self._name, self._features = encode, name, features

    @property
    def fingerprint(self) -> str:
        return f"{self._name} {self._features.fingerprint}"

    def encode(self, values: Sequence[Sequence[str]]) -> list[np.ndarray]:
        return [self._encode(value) for value in values]


class _TokenEncoder(_SentenceEncoder):
    """Encodes a column with one id per token; each distinct token only once."""

    def encode(self, values: Sequence[Sequence[str]]) -> list[np.ndarray]:
        tokens, rows = distinct_with_indices(values)
        ids = self._encode(tokens)
        return [ids[row] for row in rows]


def casing(token: str) -> int:
    """Returns the index of a token's casing in `CASINGS`, from 1."""
    digits = sum(map(str.isdigit, token))
    if digits:
        name = "digits" if 2 * digits > len(token) else "with digits"
    elif token.islower():
        name = "lower"
    elif token.isupper() and len(token) > 1:
        name = "upper"
    elif token[:1].isupper() and not any(map(str.isupper, token[1:])):
        name = "title"
    else:
        name = "mixed" if any(map(str.isupper, token)) else "others"
    return CASINGS.index(name) + 1


def spellings(characters: np.ndarray, word_lengths: np.ndarray) -> dict[str, np.ndarray]:
    """Returns the characters of each distinct word, and the index of each token's word.

    Args:
        characters: The characters of all words of a sentence, concatenated, int32 `(rows, length)`.
        word_lengths: int32 `(rows, tokens)`, 0 at padding.
    """
    mask = word_lengths > 0
    lengths = word_lengths[mask]  # (words,)
    starts = (np.cumsum(word_lengths, axis=1) - word_lengths)[mask]
    starts += np.nonzero(mask)[0] * characters.shape[1]
    steps = np.arange(lengths.max(initial=1))
    character_mask = steps < lengths[:, None]
    table = np.zeros(character_mask.shape, np.int32)  # (words, characters)
    table[character_mask] = characters.ravel()[(starts[:, None] + steps)[character_mask]]
    words = table.view(np.dtype((np.void, table.strides[0]))).ravel()  # one value per row
    _, first, index = np.unique(words, return_index=True, return_inverse=True)
    spelling = np.zeros(word_lengths.shape, np.int32)
    spelling[mask] = index
    return {
        "characters": table[first],
        "character_length": lengths[first].astype(np.int32),
        "spelling": spelling,
    }
