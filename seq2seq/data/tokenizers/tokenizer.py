"""Tokenizers: texts to token ids, and back."""

import hashlib
import json
from collections.abc import Callable, Iterable, Sequence
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import tokenizers
from tokenizers import Tokenizer as Backend

from seq2seq.cache import cache_directory, ensure_directory
from seq2seq.data.formats.json_lines import open_model_file
from seq2seq.data.tokenizers import fitting
from seq2seq.data.tokenizers.bpe_dropout import DropoutEncoder, SubwordSampler, word_spans
from seq2seq.data.word_alignments import words_of_characters
from seq2seq.errors import UserError

PAD, UNKNOWN, START, END = range(4)
SPECIAL_TOKENS = {"pad": PAD, "unknown": UNKNOWN, "start": START, "end": END}

_KINDS = ("word", "character", "bpe", "unigram")
_NORMALIZATIONS = (None, "NFC", "NFD", "NFKC", "NFKD")
_SPECIAL_TEXTS = (b"<pad>", b"<unk>", b"<s>", b"</s>")
_FORMAT_VERSION = 1
_SMALLEST_PARALLEL_BATCH = 64


class Tokenizer:
    """Maps texts to token ids: words, characters or subwords.

    The ids 0 to 3 are `PAD`, `UNKNOWN`, `START` and `END`; no text is ever encoded as `PAD`,
    `START` or `END`. The kinds:

    - `word`: words separated by white space; unknown words become `UNKNOWN`.
    - `character`: characters; unknown ones are encoded as their UTF-8 bytes.
    - `bpe`, `unigram`: subwords of UTF-8 bytes, by byte-pair encoding or a unigram language model.

    For all kinds but `word`, `decode` restores any normalised text exactly.

    Args:
        kind: `word`, `character`, `bpe` or `unigram`.
        vocabulary_size: The largest number of ids, including the special ones and those of the 256
            bytes; `None` (words and characters only) is unlimited.
        lowercase: Whether texts are lower-cased, after normalisation.
        normalization: `NFC`, `NFD`, `NFKC`, `NFKD` or `None`.
        minimum_frequency: How often a word or character must occur to enter the vocabulary, or a
            pair of pieces to be merged; not for `unigram`.
        dropout: The share of merges that are skipped in training (BPE-dropout).

    Example:
        >>> tokenizer = Tokenizer("character").fit(["2051-08-07"])
        >>> tokenizer.decode(tokenizer.encode(["2051", "août"]))
        ['2051', 'août']
    """

    def __init__(
        self,
        kind: str,
        vocabulary_size: int | None = None,
        lowercase: bool = False,
        normalization: str | None = None,
        minimum_frequency: int = 1,
        dropout: float = 0.0,
    ) -> None:
        self.settings: dict[str, Any] = dict(locals())
        del self.settings["self"]
        _check_settings(self.settings)
        self._normalizer = fitting.build_normalizer(lowercase, normalization)
        self._fitted: Backend | None = None
        self._sampler: SubwordSampler | None = None
        self._piece_bytes: list[bytes] = []

    def fit(self, texts: Iterable[str]) -> "Tokenizer":
        """Learns the vocabulary and returns itself; the order of the texts is irrelevant.

        Raises:
            UserError: If the texts hold nothing to learn from.
        """
        kind, size = self.settings["kind"], self.settings["vocabulary_size"]
        minimum = self.settings["minimum_frequency"]
        fitted = fitting.fit(kind, texts, self._normalizer, size, minimum)
        if fitted.get_vocab_size() <= _reserved_ids(kind):
            raise UserError(
                "The tokenizer found nothing to learn in the training texts: they are empty, or "
                f"tokenizer.minimum_frequency={minimum} or tokenizer.vocabulary_size={size} "
                "excludes everything."
            )
        self._set_fitted(fitted)
        return self

    def fit_once(self, content: str, texts: Callable[[], Iterable[str]]) -> "Tokenizer":
        """Does what `fit` does, and finds the result in the cache the next time.

        Args:
            content: A hash of the texts.
            texts: Returns the texts; called only where nothing is cached.
        """
        parts = [_FORMAT_VERSION, tokenizers.__version__, content, self.settings]
        key = hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:32]

        def write(folder: Path) -> None:
            self.fit(texts()).save(folder / "tokenizer.json")

        folder = ensure_directory(cache_directory() / "tokenizers" / key, write)
        self._set_fitted(Tokenizer.load(folder / "tokenizer.json")._backend)
        return self

    @property
    def size(self) -> int:
        """The number of ids, including the special ones."""
        return len(self._pieces)

    @property
    def reserved_ids(self) -> int:
        """The number of ids of special pieces and single bytes, which all such tokenizers have."""
        return _reserved_ids(self.settings["kind"])

    @property
    def fingerprint(self) -> str:
        """A hash of the settings and the vocabulary, in hexadecimal."""
        return hashlib.sha256(self._to_json().encode()).hexdigest()

    def normalize(self, text: str) -> str:
        """Returns the normalised text, as it is before tokenisation."""
        return self._normalizer.normalize_str(text)

    def encode(self, texts: Sequence[str]) -> list[np.ndarray]:
        """Returns the ids of each text, int32 `(length,)`, without `START` and `END`."""
        backend = self._backend
        if len(texts) < _SMALLEST_PARALLEL_BATCH:
            encodings = [backend.encode(text, add_special_tokens=False) for text in texts]
        else:
            encodings = backend.encode_batch_fast(list(texts), add_special_tokens=False)
        return [np.array(encoding.ids, dtype=np.int32) for encoding in encodings]

    def encode_piece(self, piece: bytes) -> list[int]:
        """Returns the ids of a part of a text, given as UTF-8, which need not begin a word.

        Other than `encode`, it puts no space before the part, and takes incomplete characters.
        """
        try:
            text = self.normalize(piece.decode())
        except UnicodeDecodeError:  # a part of a character
            if self.settings["kind"] == "word":
                return [UNKNOWN]
            return [self._piece_bytes.index(bytes([byte]), len(_SPECIAL_TEXTS)) for byte in piece]
        if self.settings["kind"] not in ("bpe", "unigram"):
            return [int(number) for number in self.encode([text])[0]]
        name = "".join(_CHARACTER_OF_BYTE[byte] for byte in text.encode())
        return [token.id for token in self._backend.model.tokenize(name)]

    def word_numbers(self, texts: Sequence[str]) -> list[np.ndarray]:
        """Returns the number of the word of each token, int32 `(length,)`; -1 for white space.

        Words are what white space separates in the text as it is, before it is normalised.
        """
        return [self._word_numbers(text) for text in texts]

    def _word_numbers(self, text: str) -> np.ndarray:
        if self.settings["kind"] in ("bpe", "unigram"):
            lengths, words = word_spans(self._backend, text)
            return np.repeat(words, lengths)
        encoding = self._backend.encode(text, add_special_tokens=False)
        ends = np.array([end for _, end in encoding.offsets], np.int64)
        return words_of_characters(text)[ends - 1]

    def for_training(self, seed: int, epoch: int) -> "Tokenizer | DropoutEncoder":
        """Returns the encoder of the training texts of an epoch: itself if there is no dropout."""
        if not self.settings["dropout"]:
            return self
        if self._sampler is None or self._sampler.seed != seed:
            self._sampler = SubwordSampler(self._backend, self.settings["dropout"], seed)
        return DropoutEncoder(self._sampler, self.fingerprint, epoch)

    def decode(self, sequences: Iterable[Iterable[int]]) -> list[str]:
        """Returns the text of each sequence of ids.

        `PAD`, `START` and `END` are omitted; `UNKNOWN` becomes `<unk>`, invalid UTF-8 U+FFFD.
        """
        return [self._decode(ids) for ids in sequences]

    def pieces(self, ids: Iterable[int]) -> list[str]:
        """Returns the text of each single id, for people to read.

        Special ids look like `<pad>`, the bytes of incomplete characters like `<0xE2><0x80>`, a
        space like `▁`.
        """
        pieces = self._pieces
        return [_readable(pieces[number]) for number in ids]

    def save(self, path: Path) -> None:
        """Writes the tokenizer as one JSON file."""
        path.write_text(self._to_json(), encoding="utf-8")

    def save_standard(self, path: Path) -> None:
        """Writes a `tokenizer.json` that the `tokenizers` library reads, and encodes and decodes.

        Decoding gives the text of ids without `PAD`, `START` and `END`.
        """
        path.write_text(self.standard_text(), encoding="utf-8")

    def standard_text(self) -> str:
        """Returns what `save_standard` writes."""
        return fitting.with_decoder(self._backend, self.settings["kind"]).to_str(pretty=True)

    def piece_texts(self) -> list[bytes]:
        """Returns the UTF-8 bytes of each id."""
        return list(self._pieces)

    @classmethod
    def load(cls, path: Path) -> "Tokenizer":
        """Reads what `save` wrote; raises as `open_model_file`."""
        with open_model_file(path, "tokenizer", _FORMAT_VERSION) as content:
            tokenizer = cls(**content["settings"])
            fitted = content["tokenizer"]
            fitting.check_fitted(fitted, tokenizer.settings["kind"], tokenizer._normalizer)
            tokenizer._set_fitted(Backend.from_str(json.dumps(fitted)))
        return tokenizer

    def _to_json(self) -> str:
        content = {
            "format_version": _FORMAT_VERSION,
            "settings": self.settings,
            "tokenizer": json.loads(self._backend.to_str()),
        }
        return json.dumps(content, ensure_ascii=False, indent=1)

    @property
    def _backend(self) -> Backend:
        if self._fitted is None:
            raise RuntimeError("The tokenizer has no vocabulary yet: call fit, or load one.")
        return self._fitted

    @property
    def _pieces(self) -> list[bytes]:
        _ = self._backend  # raises if there is no vocabulary
        return self._piece_bytes

    def _set_fitted(self, fitted: Backend) -> None:
        to_bytes = _BYTES_OF_PIECE[self.settings["kind"]]
        vocabulary = fitted.get_vocab()
        names = sorted(vocabulary, key=vocabulary.__getitem__)
        self._piece_bytes = [*_SPECIAL_TEXTS, *map(to_bytes, names[len(_SPECIAL_TEXTS) :])]
        self._fitted = fitted
        self._sampler = None

    def _decode(self, ids: Iterable[int]) -> str:
        pieces = self._pieces
        separator = b" " if self.settings["kind"] == "word" else b""
        visible = (pieces[number] for number in ids if number not in (PAD, START, END))
        text = separator.join(visible).decode("utf-8", errors="replace")
        return text.removeprefix(" ") if self.settings["kind"] in ("bpe", "unigram") else text


class TokenizerPair:
    """The tokenizers of source and target.

    Args:
        source: The tokenizer of the source side.
        target: The tokenizer of the target side.
        joint: Whether both sides share one vocabulary.

    Raises:
        UserError: If `joint` is true and the settings differ.

    Example:
        >>> pair = TokenizerPair(Tokenizer("bpe", 8000), Tokenizer("bpe", 8000), joint=True)
        >>> pair.fit(english, german).source.size
        8000
    """

    def __init__(self, source: Tokenizer, target: Tokenizer, joint: bool = False) -> None:
        if joint and source.settings != target.settings:
            differences = [
                f"{key} ({value} and {target.settings[key]})"
                for key, value in source.settings.items()
                if value != target.settings[key]
            ]
            raise UserError(
                "tokenizer.joint=true needs the same settings in tokenizer.source and "
                f"tokenizer.target; different are {', '.join(differences)}."
            )
        self.source = source
        self.target = source if joint else target
        self.joint = joint

    def fit(self, source_texts: Iterable[str], target_texts: Iterable[str]) -> "TokenizerPair":
        """Learns the vocabularies from training texts, and returns itself; see `Tokenizer.fit`."""
        if self.joint:
            self.source.fit(chain(source_texts, target_texts))
        else:
            self.source.fit(source_texts)
            self.target.fit(target_texts)
        return self

    def fit_once(self, content: str, texts: Callable[[str], Iterable[str]]) -> "TokenizerPair":
        """Does what `fit` does, and finds the result in the cache; see `Tokenizer.fit_once`.

        Args:
            content: A hash of the texts of both sides.
            texts: Returns the texts of a side, `source` or `target`.
        """
        if self.joint:
            self.source.fit_once(
                f"{content} joint", lambda: chain(texts("source"), texts("target"))
            )
        else:
            self.source.fit_once(f"{content} source", lambda: texts("source"))
            self.target.fit_once(f"{content} target", lambda: texts("target"))
        return self

    def save(self, directory: Path) -> None:
        """Writes `source.json` and `target.json` into an existing folder."""
        self.source.save(directory / "source.json")
        self.target.save(directory / "target.json")

    @classmethod
    def load(cls, directory: Path) -> "TokenizerPair":
        """Reads what `save` wrote; see `Tokenizer.load`."""
        source = Tokenizer.load(directory / "source.json")
        target = Tokenizer.load(directory / "target.json")
        return cls(source, target, joint=source.fingerprint == target.fingerprint)


def _check_settings(settings: dict[str, Any]) -> None:
    kind, size = settings["kind"], settings["vocabulary_size"]
    if kind not in _KINDS:
        raise UserError(f"tokenizer.kind={kind} is not one of {', '.join(_KINDS)}.")
    if settings["normalization"] not in _NORMALIZATIONS:
        raise UserError(
            f"tokenizer.normalization={settings['normalization']} is not one of null, "
            f"{', '.join(filter(None, _NORMALIZATIONS))}."
        )
    if size is None and kind in ("bpe", "unigram"):
        raise UserError(f"tokenizer.vocabulary_size is needed for the kind {kind}.")
    if size is not None and size <= (reserved := _reserved_ids(kind)):
        raise UserError(
            f"tokenizer.vocabulary_size={size} is too small for the kind {kind}: {reserved} ids "
            f"are reserved, so that at least {reserved + 1} are needed."
        )
    if settings["minimum_frequency"] < 1:
        raise UserError(f"tokenizer.minimum_frequency={settings['minimum_frequency']} is below 1.")
    if kind == "unigram" and settings["minimum_frequency"] != 1:
        raise UserError("tokenizer.minimum_frequency cannot be set for the kind unigram.")
    if not 0 <= settings["dropout"] < 1:
        raise UserError(f"tokenizer.dropout={settings['dropout']} is not from 0 to below 1.")
    if settings["dropout"] and kind != "bpe":
        raise UserError(f"tokenizer.dropout skips merges of bpe; the kind {kind} has none.")


def _reserved_ids(kind: str) -> int:
    """Returns the number of ids of special pieces and single bytes."""
    return len(_SPECIAL_TEXTS) + (0 if kind == "word" else len(fitting.BYTE_PIECES))


def _readable(piece: bytes) -> str:
    try:
        text = piece.decode("utf-8")
    except UnicodeDecodeError:
        return "".join(f"<0x{byte:02X}>" for byte in piece)
    return text.replace(" ", "▁")


def _byte_alphabet() -> dict[str, int]:
    """Returns the byte of each character of GPT-2's byte-level alphabet.

    Printable bytes stand for themselves; the others are written as the characters from U+0100 on.
    """
    printable = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    unprintable = [byte for byte in range(256) if byte not in printable]
    characters = [*map(chr, printable), *(chr(0x100 + n) for n in range(len(unprintable)))]
    return dict(zip(characters, printable + unprintable, strict=True))


_BYTE_OF_CHARACTER = _byte_alphabet()
_CHARACTER_OF_BYTE = {byte: character for character, byte in _BYTE_OF_CHARACTER.items()}
_BYTE_OF_FALLBACK = {piece: bytes([byte]) for byte, piece in enumerate(fitting.BYTE_PIECES)}


def _bytes_of_subword(piece: str) -> bytes:
    return bytes(_BYTE_OF_CHARACTER[character] for character in piece)


_BYTES_OF_PIECE: dict[str, Callable[[str], bytes]] = {
    "word": lambda piece: piece.encode(),
    "character": lambda piece: _BYTE_OF_FALLBACK.get(piece) or piece.encode(),
    "bpe": _bytes_of_subword,
    "unigram": _bytes_of_subword,
}
