"""How likely each token is the translation of another: IBM's model 1, for Marian's shortlists."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

NULL = 0
"""Stands beside all tokens of a source, for what translates none of them."""
LEAST = 1e-4


def save_lexicon(
    sources: Sequence[np.ndarray], targets: Sequence[np.ndarray], path: Path, iterations: int = 5
) -> None:
    """Writes lines of target token, source token and probability, as Marian reads them."""
    pairs, chances = translation_probabilities(sources, targets, iterations)
    kept = (chances >= LEAST) & (pairs[:, 0] != NULL)
    lines = (
        f"t{target} t{source} {chance:.6f}\n"
        for (source, target), chance in zip(pairs[kept], chances[kept], strict=True)
    )
    path.write_text("".join(lines), encoding="utf-8")


def translation_probabilities(
    sources: Sequence[np.ndarray], targets: Sequence[np.ndarray], iterations: int
) -> tuple[np.ndarray, np.ndarray]:
    """Estimates the probability of each target token given each source token.

    Args:
        sources: The token ids of each sentence, none of them 0.
        targets: Those of its translation.
        iterations: Of expectation and maximization.

    Returns:
        Source and target token `(pairs, 2)`, and the probability of each pair, `(pairs,)`.
    """
    base = 1 + max(int(row.max(initial=0)) for row in (*sources, *targets))
    keys, places, first = [], [], 0
    for source, target in zip(sources, targets, strict=True):
        nulled = np.append(source, NULL).astype(np.int64)
        keys.append((nulled[None, :] * base + target[:, None]).ravel())
        places.append(np.repeat(np.arange(first, first + len(target)), len(nulled)))
        first += len(target)
    unique, index = np.unique(np.concatenate(keys), return_inverse=True)
    place, owner = np.concatenate(places), unique // base
    chances = np.ones(len(unique))
    for _ in range(iterations):
        each = chances[index]
        expected = each / np.bincount(place, each)[place]
        counts = np.bincount(index, expected, len(unique))
        chances = counts / np.bincount(owner, counts)[owner]
    return np.stack([owner, unique % base], axis=1), chances
