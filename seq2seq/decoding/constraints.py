"""Words that must appear, words that must not, the only words allowed, and how to begin.

All constraints of a source become one automaton, whose states know how many more tokens are needed
at least. A search then allows a token only if what is still missing has room behind it, so that
whatever can be satisfied within the length limit is.
"""

from collections.abc import Sequence
from functools import lru_cache
from itertools import chain
from typing import Any, NamedTuple

import numpy as np

Phrase = Sequence[int]
"""The token ids of a word or phrase."""

OTHER, NEVER, END = 0, 1, 2
"""Token classes: in no phrase, not allowed, and the end token. Phrases' tokens follow, from 3."""

UNREACHABLE = 1 << 20
MOST_REQUIRED = 10
MOST_TOKENS = 10_000
"""Of all phrases of a row together."""
KEPT = 32
"""Automata that are kept, as many rows and batches have the same constraints."""


class Constraints(NamedTuple):
    """The constraints of a batch, as `constrain` makes them; arrays, or tensors in a graph.

    Attributes:
        prefixes: int32 `(batch, prefix_length)`, the first tokens, padded with -1.
        classes: int32 `(batch, vocabulary_size)`, the class of each token.
        transitions: int32 `(batch, nodes, classes)`, the node after a token of that class.
        completes: int32 `(batch, nodes)`, the required phrases that end at a node, as bits.
        distances: int32 `(batch, 2 ** phrases, nodes)`, the fewest tokens that satisfy what is
            required, by what has been and the node.
        tokens: int32 `(batch, classes)`, the token of each class from 3 on, else -1.
        needed: int32 `(batch,)`, the fewest tokens of a hypothesis.
    """

    prefixes: Any
    classes: Any
    transitions: Any
    completes: Any
    distances: Any
    tokens: Any
    needed: Any


def constrain(
    batch: int,
    vocabulary_size: int,
    end: int,
    prefixes: Sequence[Phrase] | None = None,
    required: Sequence[Sequence[Phrase]] | None = None,
    forbidden: Sequence[Sequence[Phrase]] | None = None,
    allowed: Sequence[Sequence[int]] | None = None,
) -> Constraints:
    """Compiles the constraints of a batch, each given for every row or not at all.

    Args:
        batch: Number of rows.
        vocabulary_size: Number of token ids.
        end: Id of the end token, which is always allowed where nothing is missing.
        prefixes: The tokens that each row begins with; an empty list for none.
        required: The phrases that must appear in each row, in any order; they may overlap.
        forbidden: The phrases that must not appear in each row.
        allowed: The only tokens of each row, its prefix and phrases among them; an empty list
            allows all.

    Returns:
        The constraints, as numpy arrays.

    Raises:
        ValueError: If there is not one entry for each row, an id is impossible, or constraints
            contradict each other.
    """
    given: dict[str, Any] = {
        "prefixes": prefixes,
        "required": required,
        "forbidden": forbidden,
        "allowed": allowed,
    }
    for name, entries in given.items():
        if entries is not None and len(entries) != batch:
            raise ValueError(f"{name}: {batch} rows need as many entries, got {len(entries)}")
    rows = []
    for row in range(batch):
        phrases = [entries[row] if entries else () for entries in given.values()]
        _check(row, vocabulary_size, end, *phrases)
        rows.append(_automaton(vocabulary_size, end, *map(_frozen, phrases)))
        if rows[-1].needed >= UNREACHABLE:
            raise ValueError(
                f"required, forbidden, allowed and prefixes: those of row {row} contradict each "
                "other"
            )
    return Constraints(
        _stacked([row.prefix for row in rows], -1),
        np.stack([row.classes for row in rows]),
        _stacked([row.transitions for row in rows], 0),
        _stacked([row.completes for row in rows], 0),
        _stacked([row.distances for row in rows], UNREACHABLE),
        _stacked([row.tokens for row in rows], -1),
        np.array([row.needed for row in rows], np.int32),
    )


def _stacked(arrays: list[np.ndarray], padding: int) -> np.ndarray:
    if all(array is arrays[0] for array in arrays):
        return np.broadcast_to(arrays[0], (len(arrays), *arrays[0].shape))
    shape = np.max([array.shape for array in arrays], axis=0)
    return np.stack(
        [
            np.pad(
                array,
                [(0, most - size) for size, most in zip(array.shape, shape, strict=True)],
                constant_values=padding,
            )
            for array in arrays
        ]
    ).astype(np.int32)


def _check(
    row: int,
    vocabulary_size: int,
    end: int,
    prefix: Phrase,
    required: Sequence[Phrase],
    forbidden: Sequence[Phrase],
    allowed: Sequence[int],
) -> None:
    count = len({tuple(phrase) for phrase in required})
    if count > MOST_REQUIRED:
        raise ValueError(f"required: at most {MOST_REQUIRED} phrases, row {row} has {count}")
    size = phrase_tokens(required, forbidden)
    if size > MOST_TOKENS:
        raise ValueError(f"required and forbidden: row {row} has {size} tokens, {MOST_TOKENS} fit")
    for name, phrases in (
        ("prefixes", [prefix] if len(prefix) else []),
        ("required", required),
        ("forbidden", forbidden),
        ("allowed", [allowed] if len(allowed) else []),
    ):
        for phrase in phrases:
            wrong = [t for t in phrase if not 0 <= t < vocabulary_size]
            if not len(phrase) or wrong or (end in phrase and name != "allowed"):
                raise ValueError(
                    f"{name}: row {row} has {list(phrase)}; must be one or more ids from 0 to "
                    f"{vocabulary_size - 1} without the end token {end}"
                )


def phrase_tokens(required: Sequence[Phrase], forbidden: Sequence[Phrase]) -> int:
    """Returns how many tokens the phrases have of which an automaton is made."""
    longer = (phrase for phrase in forbidden if len(phrase) > 1)
    return sum(map(len, chain(required, longer)))


def _frozen(values: Sequence[Any]) -> tuple[Any, ...]:
    """Returns a phrase, or phrases, as tuples, by which an automaton is known."""
    return tuple(int(v) if np.ndim(v) == 0 else tuple(map(int, v)) for v in values)


class _Automaton:
    """The constraints of one row: an Aho-Corasick automaton over all phrases.

    A node is the beginning of a phrase: the longest one that a hypothesis ends with.
    """

    def __init__(
        self,
        vocabulary_size: int,
        end: int,
        prefix: tuple[int, ...],
        required: tuple[tuple[int, ...], ...],
        forbidden: tuple[tuple[int, ...], ...],
        allowed: tuple[int, ...],
    ) -> None:
        self.prefix = np.array(prefix, np.int32)
        required = tuple(dict.fromkeys(required))
        single = [phrase[0] for phrase in forbidden if len(phrase) == 1]
        longer = [phrase for phrase in forbidden if len(phrase) > 1]
        symbols = sorted(set(chain(*required, *longer)))
        class_of = {token: 3 + place for place, token in enumerate(symbols)}
        self.tokens = np.array([-1, -1, -1, *symbols], np.int32)
        self.classes = self._classified(vocabulary_size, end, class_of, single, allowed)
        self._connect(
            [[class_of[token] for token in phrase] for phrase in (*required, *longer)],
            len(required),
        )
        for token in set(symbols) & set(np.flatnonzero(self.classes == NEVER).tolist()):
            self.transitions[:, class_of[token]] = self.dead
        if not (self.classes == OTHER).any():
            self.transitions[:, OTHER] = self.dead
        self.distances = self._measured(len(required))
        self.needed = self._after_prefix()

    def _classified(
        self,
        vocabulary_size: int,
        end: int,
        class_of: dict[int, int],
        single: Sequence[int],
        allowed: Sequence[int],
    ) -> np.ndarray:
        """Returns the class of each token; what is forbidden by itself is never allowed."""
        classes = np.full(vocabulary_size, NEVER if len(allowed) else OTHER, np.int32)
        classes[np.array(allowed, np.int64)] = OTHER
        possible = [token for token in class_of if classes[token] == OTHER]
        classes[possible] = [class_of[token] for token in possible]
        classes[np.array(single, np.int64)] = NEVER
        classes[end] = END
        return classes

    def _connect(self, phrases: list[list[int]], required: int) -> None:
        """Builds the nodes, shortest first, and where each class of tokens leads from them."""
        longer, ends = _trie(phrases)
        self.dead = len(longer)
        self.transitions = np.zeros((self.dead + 1, len(self.tokens)), np.int32)
        self.completes = np.zeros(self.dead + 1, np.int32)
        forbidden = np.zeros(self.dead + 1, bool)
        for index, node in enumerate(ends):
            if index < required:
                self.completes[node] |= 1 << index
            else:
                forbidden[node] = True
        # What a node ends with, without its first token: known before, as it is shorter.
        shorter = np.zeros(self.dead, np.int32)
        for node, children in enumerate(longer):
            if node:
                self.transitions[node] = self.transitions[shorter[node]]
                self.completes[node] |= self.completes[shorter[node]]
                forbidden[node] |= forbidden[shorter[node]]
            for symbol, child in children.items():
                shorter[child] = self.transitions[node, symbol]
                self.transitions[node, symbol] = child
        self.transitions[forbidden[self.transitions]] = self.dead
        self.transitions[:, [NEVER, END]] = self.dead
        self.transitions[self.dead] = self.dead

    def _measured(self, required: int) -> np.ndarray:
        """Returns the fewest tokens to the end for each set of phrases seen and each node.

        A breadth-first search backwards from where everything has been seen: a set and a node are
        looked at once.
        """
        size = self.dead + 1
        edges = np.unique(self.transitions + size * np.arange(size)[:, np.newaxis])
        start, following = np.divmod(edges, size)
        order = np.argsort(following, kind="stable")
        start = start[order]
        first = np.searchsorted(following[order], np.arange(size + 1))
        distances = np.full((1 << required) * size, UNREACHABLE, np.int32)
        reached = np.arange(self.dead) + (len(distances) - size)
        distances[reached] = 0
        for distance in range(1, UNREACHABLE):
            seen, node = np.divmod(reached, size)
            seen, node = _before(seen, node, self.completes[node])
            counts = first[node + 1] - first[node]
            ends = np.cumsum(counts)
            place = np.arange(counts.sum()) + np.repeat(first[node] - ends + counts, counts)
            before = np.repeat(seen * size, counts) + start[place]
            reached = np.unique(before[distances[before] == UNREACHABLE])
            if not len(reached):
                break
            distances[reached] = distance
        return distances.reshape(-1, size)

    def _after_prefix(self) -> int:
        """Returns the fewest tokens in all: the prefix and what it leaves to be said.

        At least `UNREACHABLE` where constraints contradict each other.
        """
        seen = node = 0
        for token in self.prefix:
            node = self.transitions[node, self.classes[token]]
            seen |= int(self.completes[node])
        return len(self.prefix) + int(self.distances[seen, node])


_automaton = lru_cache(KEPT)(_Automaton)


def _before(
    seen: np.ndarray, node: np.ndarray, completed: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Returns all sets of phrases that become `seen` at a node, with the node.

    They have any of what is completed there, and lack nothing else.
    """
    possible = (completed & ~seen) == 0
    seen, node, completed = seen[possible], node[possible], completed[possible]
    found = [(seen, node)]
    fewer = completed
    while (more := fewer > 0).any():
        seen, node, completed, fewer = seen[more], node[more], completed[more], fewer[more]
        fewer = (fewer - 1) & completed
        found.append(((seen & ~completed) | fewer, node))
    sets, nodes = zip(*found, strict=True)
    return np.concatenate(sets), np.concatenate(nodes)


def _trie(phrases: list[list[int]]) -> tuple[list[dict[int, int]], list[int]]:
    """Returns the beginnings of phrases, shortest first: the empty one is node 0.

    Returns:
        The nodes that are one symbol longer than each, by this symbol; and the node of each phrase.
    """
    longer: list[dict[int, int]] = [{}]
    places = [0] * len(phrases)
    for length in range(max(map(len, phrases), default=0)):
        for index, phrase in enumerate(phrases):
            if length < len(phrase):
                children = longer[places[index]]
                if phrase[length] not in children:
                    children[phrase[length]] = len(longer)
                    longer.append({})
                places[index] = children[phrase[length]]
    return longer, places
