"""Fits the four kinds of tokenizer with the HF `tokenizers` library.

Ids begin with the special ones. Their names hold a space, which occurs in no piece, and are not
registered as special tokens: a literal `<pad>` or `</s>` in a text is ordinary text.
"""

import json
import math
import os
from collections.abc import Iterable
from typing import Any

# Set here, or the library warns in processes that are forked later.
os.environ.setdefault("TOKENIZERS_PARALLELISM", "true")

from tokenizers import Regex, Tokenizer, models, normalizers, pre_tokenizers, trainers

SPECIAL_PIECES = ("< pad >", "< unknown >", "< start >", "< end >")
UNKNOWN_PIECE = SPECIAL_PIECES[1]
BYTE_PIECES = tuple(f"<0x{byte:02X}>" for byte in range(256))

_NO_LIMIT = 2**31
_CHARACTER = Regex(r"[\s\S]")
# Pieces stay within a word (don't, t-shirt), a run of punctuation or an escape of Moses (&apos;s),
# each with the space before it, or within other white space.
_WORD = Regex(
    r" ?&#?\w+;\p{L}*"
    r"| ?[\p{L}\p{M}\p{N}]+(?:['’\-][\p{L}\p{M}\p{N}]+)*"
    r"| ?[^\s\p{L}\p{M}\p{N}]+"
    r"|\s+(?!\S)|\s+"
)


def normalizer(lowercase: bool, normalization: str | None) -> normalizers.Normalizer:
    """Returns the normalizer: Unicode normal form, then lower-casing."""
    steps = [getattr(normalizers, normalization)()] if normalization else []
    return normalizers.Sequence([*steps, *([normalizers.Lowercase()] if lowercase else [])])


def check_fitted(content: Any, kind: str, clean: normalizers.Normalizer) -> None:
    """Checks that the parsed JSON of a fitted tokenizer is what `fit_...` of its kind writes.

    Raises:
        ValueError: If it is not.
    """
    if not isinstance(content, dict) or not isinstance(content.get("model"), dict):
        raise ValueError("it holds no tokenizer")
    expected = json.loads(_frame(kind, clean).to_str())
    for part in expected.keys() - {"model", "version"}:
        if content.get(part) != expected[part]:
            raise ValueError(f"its {part} is not that of a tokenizer of this kind")
    model, expected_model = content["model"], expected["model"]
    for part in expected_model.keys() - {"vocab", "merges"}:
        if model.get(part) != expected_model[part]:
            raise ValueError(f"{part}: must be {expected_model[part]!r}")
    _check_vocabulary(model.get("vocab"), kind)


def _frame(kind: str, clean: normalizers.Normalizer) -> Tokenizer:
    """Returns a tokenizer of a kind with the special pieces alone."""
    special = _numbered([*SPECIAL_PIECES])
    if kind == "word":
        return _on_words(special, clean)
    if kind == "character":
        return _on_characters(special, clean)
    if kind == "bpe":
        return _on_bytes(models.BPE(special, []), clean)
    scored = [(piece, 0.0) for piece in SPECIAL_PIECES]
    return _on_bytes(models.Unigram(scored, SPECIAL_PIECES.index(UNKNOWN_PIECE), False), clean)


def _check_vocabulary(vocabulary: Any, kind: str) -> None:
    """Raises ValueError if ids are not 0, 1, 2, ..., or a required piece is missing."""
    if kind == "unigram":
        pieces = [piece for piece, _ in vocabulary]
        if not all(isinstance(score, float) and math.isfinite(score) for _, score in vocabulary):
            raise ValueError("a score is no finite number")
    else:
        pieces = sorted(vocabulary, key=vocabulary.__getitem__)
        if [vocabulary[piece] for piece in pieces] != list(range(len(pieces))):
            raise ValueError("its ids are not 0, 1, 2, ...")
    if tuple(pieces[: len(SPECIAL_PIECES)]) != SPECIAL_PIECES:
        raise ValueError(f"the first pieces are not {', '.join(map(repr, SPECIAL_PIECES))}")
    if not all(isinstance(piece, str) for piece in pieces) or len(set(pieces)) < len(pieces):
        raise ValueError("a piece stands twice, or is no text")
    needed = {"word": (), "character": BYTE_PIECES}.get(kind, pre_tokenizers.ByteLevel.alphabet())
    missing = sorted(set(needed) - set(pieces))
    if missing:
        raise ValueError(f"there is no piece {missing[0]!r}")
    alphabet = set(pre_tokenizers.ByteLevel.alphabet())
    if kind in ("bpe", "unigram") and not all(
        alphabet.issuperset(piece) for piece in pieces[len(SPECIAL_PIECES) :]
    ):
        raise ValueError("a piece has a character that stands for no byte")


def fit_words(
    texts: Iterable[str], clean: normalizers.Normalizer, size: int | None, minimum_frequency: int
) -> Tokenizer:
    """Fits a vocabulary of words, separated by white space."""
    split = pre_tokenizers.WhitespaceSplit()
    words = _most_frequent(texts, clean, split, size, minimum_frequency)
    return _on_words(_numbered([*SPECIAL_PIECES, *words]), clean)


def _on_words(vocabulary: dict[str, int], clean: normalizers.Normalizer) -> Tokenizer:
    fitted = Tokenizer(models.WordLevel(vocabulary, unk_token=UNKNOWN_PIECE))
    fitted.normalizer = clean
    fitted.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    return fitted


def fit_characters(
    texts: Iterable[str], clean: normalizers.Normalizer, size: int | None, minimum_frequency: int
) -> Tokenizer:
    """Fits a vocabulary of characters; others are encoded as their UTF-8 bytes."""
    split = pre_tokenizers.Split(_CHARACTER, "isolated")
    room = None if size is None else size - len(BYTE_PIECES)
    characters = _most_frequent(texts, clean, split, room, minimum_frequency)
    return _on_characters(_numbered([*SPECIAL_PIECES, *BYTE_PIECES, *characters]), clean)


def _on_characters(vocabulary: dict[str, int], clean: normalizers.Normalizer) -> Tokenizer:
    fitted = Tokenizer(models.BPE(vocabulary, merges=[], byte_fallback=True))
    fitted.normalizer = clean
    return fitted


def fit_bpe(
    texts: Iterable[str], clean: normalizers.Normalizer, size: int, minimum_frequency: int
) -> Tokenizer:
    """Fits byte-level byte-pair encoding, whose merges stay within words."""
    trainer = trainers.BpeTrainer(
        vocab_size=size - len(SPECIAL_PIECES),
        min_frequency=minimum_frequency,
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    model = _train(_on_bytes(models.BPE(), clean), texts, trainer)
    pieces = sorted(model["vocab"], key=model["vocab"].__getitem__)
    vocabulary = _numbered([*SPECIAL_PIECES, *pieces])
    return _on_bytes(models.BPE(vocabulary, [tuple(pair) for pair in model["merges"]]), clean)


def fit_unigram(texts: Iterable[str], clean: normalizers.Normalizer, size: int) -> Tokenizer:
    """Fits a byte-level unigram language model over pieces that stay within words."""
    trainer = trainers.UnigramTrainer(
        vocab_size=size - len(SPECIAL_PIECES),
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    model = _train(_on_bytes(models.Unigram(), clean), texts, trainer)
    scored = [(piece, 0.0) for piece in SPECIAL_PIECES] + _canonical(model["vocab"])
    return _on_bytes(models.Unigram(scored, SPECIAL_PIECES.index(UNKNOWN_PIECE), False), clean)


def _most_frequent(
    texts: Iterable[str],
    clean: normalizers.Normalizer,
    split: pre_tokenizers.PreTokenizer,
    size: int | None,
    minimum_frequency: int,
) -> list[str]:
    """Returns the pieces that `split` makes, by falling frequency, then alphabetically."""
    counter = Tokenizer(models.WordLevel({}, unk_token=UNKNOWN_PIECE))
    counter.normalizer = clean
    counter.pre_tokenizer = split
    trainer = trainers.WordLevelTrainer(
        vocab_size=_NO_LIMIT if size is None else size - len(SPECIAL_PIECES),
        min_frequency=minimum_frequency,
        show_progress=False,
    )
    vocabulary = _train(counter, texts, trainer)["vocab"]
    return sorted(vocabulary, key=vocabulary.__getitem__)


def _on_bytes(model: models.Model, clean: normalizers.Normalizer) -> Tokenizer:
    """Returns a tokenizer over UTF-8 bytes that puts a space before each text.

    So a word has the same pieces wherever it occurs.
    """
    tokenizer = Tokenizer(model)
    tokenizer.normalizer = normalizers.Sequence([clean, normalizers.Prepend(" ")])
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(_WORD, "isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    return tokenizer


def _train(tokenizer: Tokenizer, texts: Iterable[str], trainer: trainers.Trainer) -> Any:
    # In parallel, the library would read the texts from a thread of its own; those of a TensorFlow
    # pipeline must be read from the thread that made it, or the process crashes.
    setting = os.environ["TOKENIZERS_PARALLELISM"]
    os.environ["TOKENIZERS_PARALLELISM"] = "false"
    try:
        tokenizer.train_from_iterator(texts, trainer)
    finally:
        os.environ["TOKENIZERS_PARALLELISM"] = setting
    return json.loads(tokenizer.to_str())["model"]


def _numbered(pieces: list[str]) -> dict[str, int]:
    return {piece: number for number, piece in enumerate(pieces)}


def _canonical(scored: list[tuple[str, float | None]]) -> list[tuple[str, float]]:
    """Returns the pieces of a unigram model such that two fits on the same texts agree.

    The trainer's counts stand in a hash map of random order, on which depend the last digits of the
    scores, and the order of the fallback bytes: steps of 0.0001 above the lowest score.
    """
    # Without any text, the trainer returns no scores.
    valid = [(piece, score) for piece, score in scored if score is not None]
    lowest = min((score for _, score in valid), default=0.0)
    reserved = lowest + 0.0001 * 257
    canonical = [
        (piece, round(lowest if len(piece) == 1 and score < reserved else score, 6))
        for piece, score in valid
    ]
    return sorted(canonical, key=lambda item: (-item[1], item[0]))
