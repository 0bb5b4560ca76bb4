"""The four kinds of tokenizer as fitted models of the HF `tokenizers` library.

All share one layout of ids: the special ids first, then what was learned. The names of the special
ids hold a space, which no model can find in a text, and are unknown to the library as special: a
literal `<pad>` or `</s>` in a text is a text like any other.
"""

import json
import math
import os
from collections.abc import Iterable
from typing import Any

# Chosen here, or the library warns in processes that are forked later.
os.environ.setdefault("TOKENIZERS_PARALLELISM", "true")

from tokenizers import Regex, Tokenizer, models, normalizers, pre_tokenizers, trainers

SPECIAL_PIECES = ("< pad >", "< unknown >", "< start >", "< end >")
UNKNOWN_PIECE = SPECIAL_PIECES[1]
BYTE_PIECES = tuple(f"<0x{byte:02X}>" for byte in range(256))

_NO_LIMIT = 2**31
_CHARACTER = Regex(r"[\s\S]")
# What pieces may not reach across: a word (don't, t-shirt), a run of punctuation, an escape of
# Moses (&apos;s), each with the space before it; other white space.
_WORD = Regex(
    r" ?&#?\w+;\p{L}*"
    r"| ?[\p{L}\p{M}\p{N}]+(?:['’\-][\p{L}\p{M}\p{N}]+)*"
    r"| ?[^\s\p{L}\p{M}\p{N}]+"
    r"|\s+(?!\S)|\s+"
)


def normalizer(lowercase: bool, normalization: str | None) -> normalizers.Normalizer:
    """Returns what is done to a text first: the Unicode normal form, then lower-casing."""
    steps = [getattr(normalizers, normalization)()] if normalization else []
    return normalizers.Sequence([*steps, *([normalizers.Lowercase()] if lowercase else [])])


def check_fitted(content: Any, kind: str, clean: normalizers.Normalizer) -> None:
    """Checks that the JSON of a fitted tokenizer is what `fit_...` of its kind makes.

    Args:
        content: The parsed JSON.
        kind: `word`, `character`, `bpe` or `unigram`.
        clean: The normalizer of its settings.

    Raises:
        ValueError: If it is not.
    """
    if not isinstance(content, dict) or not isinstance(content.get("model"), dict):
        raise ValueError("it holds no tokenizer")
    expected = json.loads(_frame(kind, clean).to_str())
    for part in expected.keys() - {"model", "version"}:
        if content.get(part) != expected[part]:
            raise ValueError(f"its {part} is not that of a tokenizer of this kind")
    model, like = content["model"], expected["model"]
    for part in like.keys() - {"vocab", "merges"}:
        if model.get(part) != like[part]:
            raise ValueError(f"{part}: must be {like[part]!r}")
    _check_vocabulary(model.get("vocab"), kind)


def _frame(kind: str, clean: normalizers.Normalizer) -> Tokenizer:
    """Returns a tokenizer of a kind with nothing but the special pieces."""
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
    """Raises ValueError if ids are not 0, 1, 2, ..., or a piece that must be there is not."""
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
    """Fits one id to a word, a word being what stands between white space."""
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
    """Fits one id to a character; characters that have none are written as their UTF-8 bytes."""
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
    """Returns what `split` finds in the texts, by falling frequency, then alphabetically."""
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
    """Returns a tokenizer over UTF-8 bytes that sees each text behind a space.

    So that a word is the same pieces wherever it stands.
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
    # In parallel, the library would pull the texts from a thread of its own. Texts that come out
    # of a TensorFlow pipeline must be pulled from the thread that made it, or the process crashes.
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
    """Returns the pieces of a unigram model so that two fits on the same texts agree.

    The trainer keeps its counts in a hash map of random order. What depends on this order is the
    last digits of the scores, and the ranks of the bytes that are kept only to be able to write
    anything: these get steps of 0.0001 above the lowest score.
    """
    # Without any text, the trainer gives no scores.
    valid = [(piece, score) for piece, score in scored if score is not None]
    lowest = min((score for _, score in valid), default=0.0)
    reserved = lowest + 0.0001 * 257
    canonical = [
        (piece, round(lowest if len(piece) == 1 and score < reserved else score, 6))
        for piece, score in valid
    ]
    return sorted(canonical, key=lambda item: (-item[1], item[0]))
