"""Fits the four kinds of tokenizer with the HF `tokenizers` library.

The special pieces have the first ids. Their names contain a space, as no other piece does, and are
not registered as special tokens: a literal `<pad>` or `</s>` in a text is ordinary text.
"""

import json
import math
import os
from collections.abc import Iterable
from typing import Any

# Before the import, or the library warns in processes that are forked later.
os.environ.setdefault("TOKENIZERS_PARALLELISM", "true")

from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers

SPECIAL_PIECES = ("< pad >", "< unknown >", "< start >", "< end >")
UNKNOWN_PIECE = SPECIAL_PIECES[1]
WRITTEN_UNKNOWN = "<unk>"
BYTE_PIECES = tuple(f"<0x{byte:02X}>" for byte in range(256))

_NO_LIMIT = 2**31
_CHARACTER = Regex(r"[\s\S]")
# No piece spans two of these: a word (don't, t-shirt), a run of punctuation or an escape of Moses
# (&apos;s), each with the space before it, and other white space.
_WORD = Regex(
    r" ?&#?\w+;\p{L}*"
    r"| ?[\p{L}\p{M}\p{N}]+(?:['’\-][\p{L}\p{M}\p{N}]+)*"
    r"| ?[^\s\p{L}\p{M}\p{N}]+"
    r"|\s+(?!\S)|\s+"
)


def build_normalizer(lowercase: bool, normalization: str | None) -> normalizers.Normalizer:
    """Returns the normalizer: Unicode normal form, then lower-casing."""
    steps = [getattr(normalizers, normalization)()] if normalization else []
    return normalizers.Sequence([*steps, *([normalizers.Lowercase()] if lowercase else [])])


def check_fitted(content: Any, kind: str, normalizer: normalizers.Normalizer) -> None:
    """Raises ValueError if the parsed JSON of a fitted tokenizer is not one that `fit` writes."""
    if not isinstance(content, dict) or not isinstance(content.get("model"), dict):
        raise ValueError("it holds no tokenizer")
    expected = json.loads(_tokenizer_without_text(kind, normalizer).to_str())
    for part in expected.keys() - {"model", "version"}:
        if content.get(part) != expected[part]:
            raise ValueError(f"its {part} is not that of a tokenizer of this kind")
    model, expected_model = content["model"], expected["model"]
    for part in expected_model.keys() - {"vocab", "merges"}:
        if model.get(part) != expected_model[part]:
            raise ValueError(f"{part}: must be {expected_model[part]!r}")
    _check_vocabulary(model.get("vocab"), kind)


def _tokenizer_without_text(kind: str, normalizer: normalizers.Normalizer) -> Tokenizer:
    """Returns a tokenizer with the special pieces alone."""
    special = _with_ids(SPECIAL_PIECES)
    match kind:
        case "word":
            return _word_tokenizer(special, normalizer)
        case "character":
            return _character_tokenizer(special, normalizer)
        case "bpe":
            return _byte_level_tokenizer(models.BPE(special, []), normalizer)
    return _unigram_tokenizer([], normalizer)


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
        raise ValueError("a piece occurs twice, or is no text")
    alphabet = set(pre_tokenizers.ByteLevel.alphabet())
    required = {"word": set[str](), "character": set(BYTE_PIECES)}.get(kind, alphabet)
    missing = sorted(required - set(pieces))
    if missing:
        raise ValueError(f"there is no piece {missing[0]!r}")
    learned = pieces[len(SPECIAL_PIECES) :]
    if kind in ("bpe", "unigram") and not all(map(alphabet.issuperset, learned)):
        raise ValueError("a piece has a character that stands for no byte")


def fit(
    kind: str,
    texts: Iterable[str],
    normalizer: normalizers.Normalizer,
    size: int | None,
    minimum_frequency: int,
) -> Tokenizer:
    """Fits a tokenizer of a kind, see `seq2seq.data.tokenizers.tokenizer.Tokenizer`."""
    split: pre_tokenizers.PreTokenizer
    if kind == "word":
        split = pre_tokenizers.WhitespaceSplit()
        words = _most_frequent(texts, normalizer, split, size, minimum_frequency)
        return _word_tokenizer(_with_ids([*SPECIAL_PIECES, *words]), normalizer)
    if kind == "character":
        split = pre_tokenizers.Split(_CHARACTER, "isolated")
        limit = None if size is None else size - len(BYTE_PIECES)
        characters = _most_frequent(texts, normalizer, split, limit, minimum_frequency)
        vocabulary = _with_ids([*SPECIAL_PIECES, *BYTE_PIECES, *characters])
        return _character_tokenizer(vocabulary, normalizer)
    if size is None:
        raise ValueError(f"the kind {kind} needs a vocabulary size")
    options: dict[str, Any] = {
        "vocab_size": size - len(SPECIAL_PIECES),
        "initial_alphabet": sorted(pre_tokenizers.ByteLevel.alphabet()),
        "show_progress": False,
    }
    if kind == "bpe":
        bpe_trainer = trainers.BpeTrainer(min_frequency=minimum_frequency, **options)
        model = _train(_byte_level_tokenizer(models.BPE(), normalizer), texts, bpe_trainer)
        pieces = sorted(model["vocab"], key=model["vocab"].__getitem__)
        merges = [tuple(pair) for pair in model["merges"]]
        bpe = models.BPE(_with_ids([*SPECIAL_PIECES, *pieces]), merges)
        return _byte_level_tokenizer(bpe, normalizer)
    untrained = _byte_level_tokenizer(models.Unigram(), normalizer)
    model = _train(untrained, texts, trainers.UnigramTrainer(**options))
    return _unigram_tokenizer(_reproducible(model["vocab"]), normalizer)


def with_decoder(fitted: Tokenizer, kind: str) -> Tokenizer:
    """Returns a fitted tokenizer of a kind that decodes as ours does, for other programs."""
    content = json.loads(fitted.to_str())
    vocabulary = content["model"]["vocab"]
    if kind == "word" and WRITTEN_UNKNOWN not in vocabulary:
        vocabulary[WRITTEN_UNKNOWN] = vocabulary.pop(UNKNOWN_PIECE)
        content["model"]["unk_token"] = WRITTEN_UNKNOWN
    tokenizer = Tokenizer.from_str(json.dumps(content))
    if kind == "character":
        tokenizer.decoder = decoders.Sequence([decoders.ByteFallback(), decoders.Fuse()])
    elif kind != "word":  # which are joined by blanks
        strip = decoders.Strip(" ", 1, 0)
        tokenizer.decoder = decoders.Sequence([decoders.ByteLevel(), strip])
    return tokenizer


def _word_tokenizer(vocabulary: dict[str, int], normalizer: normalizers.Normalizer) -> Tokenizer:
    """Returns a tokenizer of words, separated by white space."""
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token=UNKNOWN_PIECE))
    tokenizer.normalizer = normalizer
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    return tokenizer


def _character_tokenizer(
    vocabulary: dict[str, int], normalizer: normalizers.Normalizer
) -> Tokenizer:
    """Returns a tokenizer of characters that encodes unknown ones as their UTF-8 bytes."""
    tokenizer = Tokenizer(models.BPE(vocabulary, merges=[], byte_fallback=True))
    tokenizer.normalizer = normalizer
    return tokenizer


def _unigram_tokenizer(
    scored: list[tuple[str, float]], normalizer: normalizers.Normalizer
) -> Tokenizer:
    pieces = [*((piece, 0.0) for piece in SPECIAL_PIECES), *scored]
    unigram = models.Unigram(pieces, SPECIAL_PIECES.index(UNKNOWN_PIECE), False)
    return _byte_level_tokenizer(unigram, normalizer)


def _most_frequent(
    texts: Iterable[str],
    normalizer: normalizers.Normalizer,
    split: pre_tokenizers.PreTokenizer,
    size: int | None,
    minimum_frequency: int,
) -> list[str]:
    """Returns the pieces that `split` makes, by falling frequency, then alphabetically."""
    counter = Tokenizer(models.WordLevel({}, unk_token=UNKNOWN_PIECE))
    counter.normalizer = normalizer
    counter.pre_tokenizer = split
    trainer = trainers.WordLevelTrainer(
        vocab_size=_NO_LIMIT if size is None else size - len(SPECIAL_PIECES),
        min_frequency=minimum_frequency,
        show_progress=False,
    )
    vocabulary = _train(counter, texts, trainer)["vocab"]
    return sorted(vocabulary, key=vocabulary.__getitem__)


def _byte_level_tokenizer(model: models.Model, normalizer: normalizers.Normalizer) -> Tokenizer:
    """Returns a tokenizer of UTF-8 bytes whose pieces stay within words.

    It puts a space before each text, so that a word has the same pieces wherever it occurs.
    """
    tokenizer = Tokenizer(model)
    tokenizer.normalizer = normalizers.Sequence([normalizer, normalizers.Prepend(" ")])
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(_WORD, "isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    return tokenizer


def _train(tokenizer: Tokenizer, texts: Iterable[str], trainer: trainers.Trainer) -> Any:
    # In parallel, the library reads the texts in a thread of its own; those of a TensorFlow
    # pipeline must be read in the thread that made it, or the process crashes.
    setting = os.environ["TOKENIZERS_PARALLELISM"]
    os.environ["TOKENIZERS_PARALLELISM"] = "false"
    try:
        tokenizer.train_from_iterator(texts, trainer)
    finally:
        os.environ["TOKENIZERS_PARALLELISM"] = setting
    return json.loads(tokenizer.to_str())["model"]


def _with_ids(pieces: Iterable[str]) -> dict[str, int]:
    return {piece: number for number, piece in enumerate(pieces)}


def _reproducible(scored: list[tuple[str, float | None]]) -> list[tuple[str, float]]:
    """Returns the scored pieces of a unigram model such that two fits on the same texts agree.

    The trainer's counts are in a hash map of random order. The last digits of the scores depend on
    it, and so do the scores of the fallback bytes: steps of 0.0001 above the lowest score.
    """
    # Without any text, the trainer returns no scores.
    valid = [(piece, score) for piece, score in scored if score is not None]
    lowest = min((score for _, score in valid), default=0.0)
    fallback_limit = lowest + 0.0001 * 257
    rounded = [
        (piece, round(lowest if len(piece) == 1 and score < fallback_limit else score, 6))
        for piece, score in valid
    ]
    return sorted(rounded, key=lambda item: (-item[1], item[0]))
