"""BPE-dropout: random segmentations of words in training (Provilkov et al., 2020).

See https://arxiv.org/abs/1910.13267. A pure function of seed, epoch and text, unlike the dropout of
the `tokenizers` library.
"""

import json
from collections.abc import Sequence
from functools import lru_cache
from itertools import pairwise
from random import Random

import numpy as np
from tokenizers import Tokenizer as Backend

_VARIANTS = 32
_CACHED_VARIANTS = 2_000_000


class SubwordSampler:
    """Segments words by a fitted byte-pair encoding, leaving out each merge with some probability.

    Args:
        fitted: The encoding.
        dropout: The probability of leaving out a merge.
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
        clean, split = self.fitted.normalizer, self.fitted.pre_tokenizer
        return [word for word, _ in split.pre_tokenize_str(clean.normalize_str(text))]

    def _variant(self, word: str, number: int) -> list[int]:
        """Returns one of the segmentations of a word, as ids."""
        draw = Random(f"{self.seed} {number} {word}").random
        pieces = list(word)
        while True:
            merges = [
                (self.ranks[pair], place)
                for place, pair in enumerate(pairwise(pieces))
                if pair in self.ranks and draw() >= self.dropout
            ]
            if not merges:
                return [self.ids[piece] for piece in pieces]
            _, place = min(merges)
            pieces[place : place + 2] = [pieces[place] + pieces[place + 1]]


class DroppedMerges:
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

    def _encode(self, text: str) -> np.ndarray:
        draw = Random(f"{self.sampler.seed} {self.epoch} {text}").random
        variant = self.sampler.variant
        ids: list[int] = []
        for word in self.sampler.words(text):
            ids += variant(word, int(draw() * _VARIANTS))
        return np.array(ids, np.int32)
