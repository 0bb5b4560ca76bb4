"""Shortlists of target tokens: the frequent ones, and the best translations of a batch."""

import zipfile
from collections.abc import Iterable
from pathlib import Path

import numpy as np
from scipy import sparse

from seq2seq.data.token_store import RaggedColumn
from seq2seq.data.tokenizers.tokenizer import END, PAD, START, UNKNOWN
from seq2seq.tasks.translation.ibm_model import translation_probabilities

SPECIAL = (PAD, UNKNOWN, START, END)
"""Always the first tokens of a shortlist, so that their places are their ids."""
TRANSLATIONS = 10
"""The translations of a source token that a table holds."""


class LexicalTable:
    """What a shortlist is made of, learnt from the training pairs.

    Args:
        frequent: All target tokens, the most frequent first, int32 `(target ids,)`.
        translations: The best translations of each source token, the most probable first, int32
            `(source ids, translations)`; -1 where there are fewer.

    Raises:
        ValueError: If they are not such tables.

    Example:
        >>> columns = task.stores["train"].columns
        >>> table = LexicalTable.learn(columns["source"], columns["target"], (8000, 8000))
        >>> tokens = table.shortlist(source, size=500)
    """

    def __init__(self, frequent: np.ndarray, translations: np.ndarray) -> None:
        is_order = np.array_equal(np.sort(frequent, axis=None), np.arange(len(frequent)))
        are_int32 = frequent.dtype == translations.dtype == np.int32
        if not is_order or (frequent.ndim, translations.ndim) != (1, 2) or not are_int32:
            raise ValueError("the lexical table holds no order of tokens, or no translations")
        if translations.size and not -1 <= translations.min() <= translations.max() < len(frequent):
            raise ValueError("the lexical table names tokens outside of the vocabulary")
        self.frequent, self.translations = frequent, translations

    @classmethod
    def learn(
        cls, source: RaggedColumn, target: RaggedColumn, shape: tuple[int, int]
    ) -> "LexicalTable":
        """Learns from the token ids of pairs; `shape` are the sizes of both vocabularies."""
        counts = np.bincount(target.tokens, minlength=shape[1])
        frequent = np.argsort(-counts, kind="stable").astype(np.int32)
        return cls(frequent, _best(translation_probabilities(source, target, shape)))

    def shortlist(
        self, sources: Iterable[np.ndarray], size: int, further: Iterable[np.ndarray] = ()
    ) -> np.ndarray | None:
        """Returns the target tokens that a search for a batch of sources is restricted to.

        Args:
            sources: The source tokens of each row.
            size: The number of most frequent tokens in it; more come from the sources.
            further: Further tokens.

        Returns:
            Different tokens in ascending order, int32 `(tokens,)`; None if `size` is that of the
            vocabulary, which is no restriction.
        """
        if size >= len(self.frequent):
            return None
        is_listed = np.zeros(len(self.frequent) + 1, bool)  # the last one is that of the -1
        is_listed[[*SPECIAL]] = True
        is_listed[self.frequent[:size]] = True
        for tokens in (*(self.translations[source] for source in sources), *further):
            is_listed[tokens] = True
        return np.flatnonzero(is_listed[:-1]).astype(np.int32)

    def save(self, path: Path) -> None:
        """Writes an uncompressed .npz file."""
        np.savez(path, frequent=self.frequent, translations=self.translations)

    @classmethod
    def load(cls, path: Path, shape: tuple[int, int]) -> "LexicalTable":
        """Reads what `save` wrote, for vocabularies of these sizes.

        Raises:
            ValueError: If it is damaged, or of other vocabularies.
        """
        with zipfile.ZipFile(path) as archive:
            if any(part.compress_type != zipfile.ZIP_STORED for part in archive.infolist()):
                raise ValueError(f"{path.name} is compressed")  # might not fit into memory
        with np.load(path, allow_pickle=False) as arrays:
            table = cls(arrays["frequent"], arrays["translations"])
        if (len(table.translations), len(table.frequent)) != shape:
            raise ValueError(f"{path.name} is of other vocabularies")
        return table


def _best(probabilities: sparse.csr_array) -> np.ndarray:
    """Returns the most probable columns of each row, `(rows, TRANSLATIONS)`; -1 for no more."""
    rows = np.repeat(np.arange(probabilities.shape[0]), np.diff(probabilities.indptr))
    order = np.lexsort((-probabilities.data, rows))
    places = np.arange(len(rows)) - probabilities.indptr[rows]
    best = np.full((probabilities.shape[0], TRANSLATIONS), -1, np.int32)
    used = places < TRANSLATIONS
    best[rows[used], places[used]] = probabilities.indices[order][used]
    return best
