"""IBM model 1: how probable each target token is as the translation of each source token.

The model (Brown et al., 1993, https://aclanthology.org/J93-2003/) explains each target token by
one source token of its pair, all equally likely a priori. Expectation maximisation finds the
probabilities `t(target | source)` that explain all pairs best. With a link for each source and
target token of a pair, and `t` uniform at first, a step is

    share(link) = t(link) / sum of t over the links of the same target token
    t(target | source) = sum of the shares of its links / sum over all targets of that source
"""

from typing import NamedTuple

import numpy as np
from scipy import sparse

from seq2seq.data.token_store import RaggedColumn

MAX_LINKS = 10_000_000
"""Of pairs that have more, evenly spaced ones are used; a link takes 60 bytes while it is used."""
ITERATIONS = 5


def translation_probabilities(
    source: RaggedColumn,
    target: RaggedColumn,
    shape: tuple[int, int],
    iterations: int = ITERATIONS,
    max_links: int = MAX_LINKS,
) -> sparse.csr_array:
    """Returns `t(target | source)`, float64, of the given shape, `(source ids, target ids)`.

    Args:
        source: The source of each pair.
        target: The target of each pair.
        shape: The sizes of both vocabularies.
        iterations: Steps of expectation maximisation.
        max_links: The most links that are used.
    """
    links = _links(source, target, max_links)
    keys = links.source.astype(np.int64) * shape[1] + links.target
    keys, entry = np.unique(keys, return_inverse=True)  # of the table, and that of each link
    rows, columns = np.divmod(keys, shape[1])
    probabilities = np.ones(len(keys))
    for _ in range(iterations if len(keys) else 0):
        shares = probabilities[entry]
        shares /= np.repeat(np.add.reduceat(shares, links.starts), links.counts)
        counts = np.bincount(entry, shares, len(keys))
        probabilities = counts / np.bincount(rows, counts, shape[0])[rows]
    return sparse.csr_array((probabilities, (rows, columns)), shape)


class _Links(NamedTuple):
    """The links of all pairs, those of one target token side by side."""

    source: np.ndarray  # int32 (links,), token ids
    target: np.ndarray  # int32 (links,), token ids
    starts: np.ndarray  # int64 (target_tokens,), the first link of each target token
    counts: np.ndarray  # int64 (target_tokens,), the links of each target token


def _links(source: RaggedColumn, target: RaggedColumn, max_links: int) -> _Links:
    source_lengths, target_lengths = np.diff(source.offsets), np.diff(target.offsets)
    total = int(source_lengths @ target_lengths)
    pairs = np.arange(0, len(source_lengths), max(1, -(-total // max_links)))
    positions = _ranges(target.offsets[pairs], target_lengths[pairs])
    pair_of_position = np.repeat(pairs, target_lengths[pairs])
    counts = source_lengths[pair_of_position]
    used = counts > 0
    positions, pair_of_position, counts = positions[used], pair_of_position[used], counts[used]
    return _Links(
        source.tokens[_ranges(source.offsets[pair_of_position], counts)],
        np.repeat(target.tokens[positions], counts),
        np.cumsum(counts) - counts,
        counts,
    )


def _ranges(starts: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """Returns `starts[i], starts[i] + 1, ...`, `counts[i]` of them, for each i in turn."""
    before = np.cumsum(counts) - counts
    return np.arange(counts.sum()) + np.repeat(starts - before, counts)
