"""BPE-dropout: random segmentations of words in training (Provilkov et al., 2020).

See https://arxiv.org/abs/1910.13267. Unlike the dropout of the `tokenizers` library, it is a pure
function of seed, epoch and text.
"""

import json
from collections.abc import Sequence
from functools import lru_cache
from itertools import chain, pairwise
from random import Random

import numpy as np
from tokenizers import Tokenizer as Backend

from seq2seq.data.word_alignments import words_of_characters

_VARIANTS = 32
_CACHED_VARIANTS = 2_000_000


class SubwordSampler:
    """Segments words by a fitted byte-pair encoding, skipping merges at random.

    Args:
        fitted: The byte-pair encoding.
        dropout: The probability of skipping a merge.
        seed: Determines the segmentations.
    """

    def __init__(self, fitted: Backend, dropout: float, seed: int) -> None:
        self.fitted, self.dropout, self.seed = fitted, dropout, seed
        self.ids = fitted.get_vocab()
        merges = json.loads(fitted.to_str())["model"]["merges"]
        self.ranks = {tuple(pair): rank for rank, pair in enumerate(merges)}
        self.variant = lru_cache(_CACHED_VARIANTS)(self._variant)

    def words(self, text: str) -> list[str]:
        """Returns the words of a text; no merge spans two of them."""
        text = self.fitted.normalizer.normalize_str(text)
        return [word for word, _ in self.fitted.pre_tokenizer.pre_tokenize_str(text)]

    def _variant(self, word: str, number: int) -> list[int]:
        """Returns the ids of segmentation `number` of a word."""
        draw = Random(f"{self.seed} {number} {word}").random
        pieces = list(word)
        while True:
            merges = [
                (self.ranks[pair], position)
                for position, pair in enumerate(pairwise(pieces))
                if pair in self.ranks and draw() >= self.dropout
            ]
            if not merges:
                return [self.ids[piece] for piece in pieces]
            _, first = min(merges)
            pieces[first : first + 2] = [pieces[first] + pieces[first + 1]]


class DropoutEncoder:
    """Encodes the training texts of one epoch; an `Encoder` of a `TokenStore`'s column.

    Args:
        sampler: Segments the words.
        tokenizer: The fingerprint of the tokenizer.
        epoch: Each epoch has other segmentations of the same text.
    """

    def __init__(self, sampler: SubwordSampler, tokenizer: str, epoch: int) -> None:
        self.sampler, self.epoch = sampler, epoch
        self.fingerprint = f"{tokenizer} {sampler.seed} {epoch}"

    def encode(self, texts: Sequence[str]) -> list[np.ndarray]:
        """Returns the ids of each text, int32 `(length,)`."""
        return [self._encode(text) for text in texts]

    def word_numbers(self, texts: Sequence[str]) -> list[np.ndarray]:
        """Returns the number of the word of each token; see `Tokenizer.word_numbers`."""
        return [self._word_numbers(text) for text in texts]

    def _word_numbers(self, text: str) -> np.ndarray:
        _, words = word_spans(self.sampler.fitted, text)
        return np.repeat(words, [len(ids) for ids in self._segmented(text)])

    def _segmented(self, text: str) -> list[list[int]]:
        """Returns the ids of each of the words that `SubwordSampler.words` returns."""
        draw = Random(f"{self.sampler.seed} {self.epoch} {text}").random
        return [
            self.sampler.variant(word, int(draw() * _VARIANTS)) for word in self.sampler.words(text)
        ]

    def _encode(self, text: str) -> np.ndarray:
        return np.array(list(chain.from_iterable(self._segmented(text))), np.int32)


def word_spans(fitted: Backend, text: str) -> tuple[np.ndarray, np.ndarray]:
    """Returns how a tokenizer of subwords cuts a text: no piece spans two of these spans.

    Returns:
        The number of pieces of each span, and the number of its word in the text, -1 for white
        space; int32 `(spans,)`.
    """
    encoding = fitted.encode(text, add_special_tokens=False)
    _, pieces = np.unique(np.array(encoding.word_ids, np.int64), return_counts=True)
    ends = np.array([end for _, end in encoding.offsets], np.int64)[np.cumsum(pieces) - 1]
    return pieces.astype(np.int32), words_of_characters(text)[ends - 1]
