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

from seq2seq.data.formats.json_lines import parsed_json
from seq2seq.data.token_store import ColumnSpec
from seq2seq.data.tokenizers.vocabulary import RESERVED, Vocabulary
from seq2seq.data.tokenizers.word_splitter import WORDS, WordSplitter
from seq2seq.data.tokenizers.word_vectors import read_word_vectors
from seq2seq.errors import UserError

Padded = Callable[[str], tuple[np.ndarray, np.ndarray]]
"""Returns a column of a batch: ids `(rows, length)`, 0 at padding, and lengths `(rows,)`."""

CASINGS = ("lower", "title", "upper", "mixed", "digits", "with digits", "others")

_DIGIT = re.compile(r"\d")
_FORMAT_VERSION = 1


class TokenFeatures:
    """Maps tokens to ids, by vocabularies that are learned from the training split alone.

    Args:
        lowercase: Whether words are lower-cased; characters and casing are of the original.
        zero_digits: Whether every digit of a word becomes 0; not of its characters.
        minimum_frequency: How often a word must occur to enter the vocabulary.
        maximum_words: The largest number of words; `None` for all.
        characters: Whether characters are a feature.
        minimum_character_frequency: How often a character must occur to enter the vocabulary.
        maximum_word_length: Of longer words, the first and the last characters are used.
        casing: Whether the casing, one of `CASINGS`, is a feature.
        columns: Further fields of the records, with a text for each token.
        vectors: A text file of pretrained vectors.
        maximum_vectors: How many of its vectors are used, from the first; `None` for all.
        pattern: Matches a token of a raw sentence, see `WordSplitter`.

    Raises:
        UserError: If an argument is impossible.

    Example:
        >>> features = TokenFeatures(columns=["pos"])
        >>> features.fit([{"tokens": ["A", "dog"], "pos": ["DT", "NN"]}])
        >>> features.columns_of_store()["words"].encoder.encode([["A", "cat"]])
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
        self.settings: dict[str, Any] = {
            "lowercase": lowercase,
            "zero_digits": zero_digits,
            "minimum_frequency": minimum_frequency,
            "maximum_words": maximum_words,
            "characters": characters,
            "minimum_character_frequency": minimum_character_frequency,
            "maximum_word_length": maximum_word_length,
            "casing": casing,
            "columns": list(columns),
            "vectors": vectors,
            "maximum_vectors": maximum_vectors,
            "pattern": pattern,
        }
        for name in ("minimum_frequency", "minimum_character_frequency", "maximum_word_length"):
            value = self.settings[name]
            if not isinstance(value, int):
                raise UserError(f"tokenizer.{name}={value!r} is not an integer.")
            if value < 1:
                raise UserError(f"tokenizer.{name}={value} is below 1.")
        taken = {"tokens", "labels", "words", "length", "casing", "characters"} & set(columns)
        if taken:
            raise UserError(f"tokenizer.columns: {', '.join(sorted(taken))} cannot be a column.")
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
        forms: Counter[str] = Counter()
        values: dict[str, Counter[str]] = {name: Counter() for name in settings["columns"]}
        for record in records:
            forms.update(record["tokens"])
            for name, counts in values.items():
                counts.update(_column(record, name))
        self.forms = frozenset(forms)
        words: Counter[str] = Counter()
        letters: Counter[str] = Counter()
        for form, count in forms.items():
            words[self.key(form)] += count
            for letter in form:
                letters[letter] += count
        self.words = Vocabulary.of(words, settings["minimum_frequency"], settings["maximum_words"])
        if not self.words.items:
            raise UserError("The training sentences hold no word that is frequent enough to keep.")
        self.characters = Vocabulary.of(letters, settings["minimum_character_frequency"])
        self.columns = {name: Vocabulary.of(counts) for name, counts in values.items()}
        if settings["vectors"] is None:
            return None
        words_of_vectors, vectors = read_word_vectors(
            Path(settings["vectors"]), settings["maximum_vectors"]
        )
        self.vector_words = Vocabulary(words_of_vectors)
        self.vector_shape = [len(self.vector_words), vectors.shape[1]]
        return np.pad(vectors, ((RESERVED, 0), (0, 0)))

    def key(self, token: str) -> str:
        """Returns the entry of the word vocabulary that stands for a token."""
        word = token.lower() if self.settings["lowercase"] else token
        return _DIGIT.sub("0", word) if self.settings["zero_digits"] else word

    def is_known(self, token: str) -> bool:
        """Returns whether a token occurs in the training sentences, in this very form."""
        return token in self.forms

    @property
    def word_pieces(self) -> list[str]:
        """The word of each id, as `Tokenizer.pieces` writes them."""
        return ["<pad>", "<unk>", *self.words.items]

    @property
    def sizes(self) -> dict[str, Any]:
        """The vocabulary sizes of the features: the model's constructor argument."""
        columns = {name: len(vocabulary) for name, vocabulary in self.columns.items()}
        if self.settings["casing"]:
            columns["casing"] = len(CASINGS) + 1
        return {
            "words": len(self.words),
            "characters": len(self.characters) if self.settings["characters"] else 0,
            "columns": columns,
            "vectors": self.vector_shape,
        }

    def columns_of_store(self) -> dict[str, ColumnSpec]:
        """Returns the columns of a `TokenStore` that hold the features of sentences."""
        columns = self.columns_but_spelling()
        if self.settings["characters"]:
            spelling = _RowEncoder(self._character_numbers, "characters", self)
            lengths = _TokenEncoder(self._word_lengths, "word_lengths", self)
            columns["characters"] = ColumnSpec("tokens", spelling)
            columns["word_lengths"] = ColumnSpec("tokens", lengths)
        return columns

    def columns_but_spelling(self) -> dict[str, ColumnSpec]:
        """Returns `columns_of_store` without the characters."""
        encoders: dict[str, tuple[str, Callable[[Sequence[str]], np.ndarray]]] = {
            "words": ("tokens", lambda tokens: self.words.numbers([*map(self.key, tokens)]))
        }
        if self.vector_words.items:
            encoders["vectors"] = ("tokens", self._vector_numbers)
        if self.settings["casing"]:
            encoders["casing"] = ("tokens", lambda tokens: np.array([*map(casing, tokens)]))
        for name, vocabulary in self.columns.items():
            encoders[name] = (name, vocabulary.numbers)
        return {
            name: ColumnSpec(field, _TokenEncoder(encode, name, self))
            for name, (field, encode) in encoders.items()
        }

    def inputs(self, padded: Padded) -> dict[str, np.ndarray]:
        """Returns the model's inputs for a batch of sentences.

        Every different word is spelled once: `characters`, int32 `(spellings, characters)`, with
        `character_length` `(spellings,)`, and `spelling`, the index of each token's spelling, int32
        `(rows, tokens)`.

        Args:
            padded: Returns each column of the batch.
        """
        inputs = self.inputs_but_spelling(padded)
        if self.settings["characters"]:
            inputs |= spellings(padded("characters")[0], padded("word_lengths")[0])
        return inputs

    def inputs_but_spelling(self, padded: Padded) -> dict[str, np.ndarray]:
        """Returns `inputs` without the characters."""
        words, length = padded("words")
        inputs = {"words": words, "length": length}
        if self.vector_words.items:
            inputs["vectors"] = padded("vectors")[0]
        return inputs | {name: padded(name)[0] for name in self.sizes["columns"]}

    def spelled(self, tokens: Sequence[str]) -> list[np.ndarray]:
        """Returns the ids of each token's characters, at least one."""
        return [self.characters.numbers(self._spelled(token)) for token in tokens]

    @property
    def ranks(self) -> dict[str, int]:
        """The rank of each tensor of `inputs`."""
        ranks = {"words": 2, "length": 1, **dict.fromkeys(self.sizes["columns"], 2)}
        if self.vector_words.items:
            ranks["vectors"] = 2
        if self.settings["characters"]:
            ranks |= {"characters": 2, "character_length": 1, "spelling": 2}
        return ranks

    def _vector_numbers(self, tokens: Sequence[str]) -> np.ndarray:
        """Returns ids of pretrained words: as written, in lower case, or with digits as 0."""
        words = [
            next((form for form in _forms(token) if form in self.vector_words), token)
            for token in tokens
        ]
        return self.vector_words.numbers(words)

    def _character_numbers(self, tokens: Sequence[str]) -> np.ndarray:
        return self.characters.numbers([*chain.from_iterable(map(self._spelled, tokens))])

    def _word_lengths(self, tokens: Sequence[str]) -> np.ndarray:
        return np.array([len(self._spelled(token)) for token in tokens], np.int32)

    def _spelled(self, token: str) -> str:
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
            "columns": {name: each.items for name, each in self.columns.items()},
            "vector_shape": self.vector_shape,
        }

    def save(self, path: Path) -> None:
        """Writes settings and vocabularies as one JSON file."""
        path.write_text(json.dumps(self._content(), ensure_ascii=False), encoding="utf-8")

    @classmethod
    def load(cls, path: Path) -> "TokenFeatures":
        """Reads what `save` wrote; the file of vectors is no longer needed.

        Raises:
            UserError: If the file is missing, damaged, or from a newer version.
        """
        try:
            content = parsed_json(path.read_text(encoding="utf-8"))
            if content["format_version"] > _FORMAT_VERSION:
                raise UserError(f"{path} was written by a newer version of seq2seq. Install that.")
            features = cls(**content["settings"])
            features.forms = frozenset(content["forms"])
            for name in ("words", "vector_words", "characters"):
                setattr(features, name, Vocabulary.read(content[name]))
            columns = content["columns"].items()
            features.columns = {name: Vocabulary.read(items) for name, items in columns}
            if sorted(features.columns) != sorted(features.settings["columns"]):
                raise ValueError("its columns are not those of its settings")
            features.vector_shape = _read_shape(content["vector_shape"], features.vector_words)
        except FileNotFoundError:
            raise UserError(f"There is no {path}.") from None
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise UserError(f"{path} is damaged: {error}.") from error
        return features


def _read_shape(shape: Any, words: Vocabulary) -> list[int] | None:
    """Returns the shape of the vectors; raises ValueError if it is not that of the words."""
    if shape is None and not words.items:
        return None
    if not isinstance(shape, list) or [type(size) for size in shape] != [int, int]:
        raise ValueError(f"vector_shape {shape!r:.80}")
    if shape[0] != len(words) or shape[1] < 1:
        raise ValueError(f"vector_shape {shape} for {len(words)} words")
    return shape


def numbered(rows: Sequence[Sequence[str]]) -> tuple[list[str], list[np.ndarray]]:
    """Returns the different items of all rows, and the rows as indices into that list."""
    positions: dict[str, int] = {}
    indices = [
        np.array([positions.setdefault(item, len(positions)) for item in row], np.int32)
        for row in rows
    ]
    return list(positions), indices


class _RowEncoder:
    """Encodes the values of a column, sentence by sentence."""

    def __init__(
        self, encode: Callable[[Sequence[str]], np.ndarray], name: str, features: TokenFeatures
    ) -> None:
        self._encode, self._name, self._features = encode, name, features

    @property
    def fingerprint(self) -> str:
        """A hash of everything that determines the ids, computed when it is needed."""
        return f"{self._name} {self._features.fingerprint}"

    def encode(self, values: Sequence[Sequence[str]]) -> list[np.ndarray]:
        """Returns the ids of each sentence."""
        return [self._encode(value) for value in values]


class _TokenEncoder(_RowEncoder):
    """Encodes a column with one id per token; each different token only once."""

    def encode(self, values: Sequence[Sequence[str]]) -> list[np.ndarray]:
        """Returns the ids of each sentence."""
        tokens, rows = numbered(values)
        numbers = self._encode(tokens)
        return [numbers[row] for row in rows]


def casing(token: str) -> int:
    """Returns the index of a token's casing in `CASINGS`, from 1."""
    digits = sum(letter.isdigit() for letter in token)
    if digits:
        name = "digits" if 2 * digits > len(token) else "with digits"
    elif token.islower():
        name = "lower"
    elif token.isupper() and len(token) > 1:
        name = "upper"
    elif token[:1].isupper() and not any(letter.isupper() for letter in token[1:]):
        name = "title"
    else:
        name = "mixed" if any(letter.isupper() for letter in token) else "others"
    return CASINGS.index(name) + 1


def spellings(characters: np.ndarray, word_lengths: np.ndarray) -> dict[str, np.ndarray]:
    """Returns the spelling of each different word once, and the index of each token's spelling.

    Args:
        characters: The characters of all words of a sentence, concatenated, int32 `(rows, length)`.
        word_lengths: int32 `(rows, tokens)`, 0 at padding.
    """
    real = word_lengths > 0
    lengths = word_lengths[real]
    starts = (np.cumsum(word_lengths, axis=1) - word_lengths)[real]
    starts += np.nonzero(real)[0] * characters.shape[1]
    steps = np.arange(lengths.max(initial=1))
    inside = steps < lengths[:, None]
    table = np.zeros(inside.shape, np.int32)
    table[inside] = characters.ravel()[(starts[:, None] + steps)[inside]]
    as_one = table.view(np.dtype((np.void, table.strides[0]))).ravel()
    _, first, number = np.unique(as_one, return_index=True, return_inverse=True)
    spelling = np.zeros(word_lengths.shape, np.int32)
    spelling[real] = number
    return {
        "characters": table[first],
        "character_length": lengths[first].astype(np.int32),
        "spelling": spelling,
    }


def _column(record: Mapping[str, Any], name: str) -> Sequence[str]:
    if name not in record:
        raise UserError(
            f"tokenizer.columns: {name} is no field of the records, which have {', '.join(record)}."
        )
    return record[name]


def _forms(token: str) -> list[str]:
    lower = token.lower()
    return [token, lower, _DIGIT.sub("0", lower)]
