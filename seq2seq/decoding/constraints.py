"""Words that must appear, words that must not, the only words allowed, and how to begin.

All constraints of a source become one automaton, whose states know how many more tokens are needed
at least. A search then allows a token only if what is still missing has room behind it, so that
whatever can be satisfied within the length limit is.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

Phrase = Sequence[int]
"""The token ids of a word or phrase."""

OTHER, NEVER, END = 0, 1, 2
"""Token classes: in no phrase, not allowed, and the end token. Phrases' tokens follow, from 3."""

UNREACHABLE = 1 << 20
MOST_REQUIRED = 10


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
    rows = [
        _Automaton(
            row,
            vocabulary_size,
            end,
            **{name: entries[row] if entries else () for name, entries in given.items()},
        )
        for row in range(batch)
    ]
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


class _Automaton:
    """The constraints of one row: an Aho-Corasick automaton over all phrases."""

    def __init__(
        self,
        row: int,
        vocabulary_size: int,
        end: int,
        prefixes: Phrase,
        required: Sequence[Phrase],
        forbidden: Sequence[Phrase],
        allowed: Sequence[int],
    ) -> None:
        self.row = row
        self.prefix = np.array(prefixes, np.int32)
        required = list(dict.fromkeys(tuple(phrase) for phrase in required))
        self._check(vocabulary_size, end, prefixes, required, forbidden, allowed)
        single = [phrase[0] for phrase in forbidden if len(phrase) == 1]
        longer = [tuple(phrase) for phrase in forbidden if len(phrase) > 1]
        phrases = [*required, *longer]
        symbols = sorted({token for phrase in phrases for token in phrase})
        self.tokens = np.array([-1, -1, -1, *symbols], np.int32)
        self.classes = self._classified(vocabulary_size, end, symbols, single, allowed)
        self._connect([[3 + symbols.index(t) for t in phrase] for phrase in phrases], len(required))
        for token in set(symbols) & set(np.flatnonzero(self.classes == NEVER).tolist()):
            self.transitions[:, 3 + symbols.index(token)] = self.dead
        if not (self.classes == OTHER).any():
            self.transitions[:, OTHER] = self.dead
        self.distances = self._measured(len(required))
        self.needed = self._after_prefix()

    def _check(
        self,
        vocabulary_size: int,
        end: int,
        prefix: Phrase,
        required: Sequence[Phrase],
        forbidden: Sequence[Phrase],
        allowed: Sequence[int],
    ) -> None:
        if len(required) > MOST_REQUIRED:
            raise ValueError(
                f"required: at most {MOST_REQUIRED} phrases, row {self.row} has {len(required)}"
            )
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
                        f"{name}: row {self.row} has {list(phrase)}; must be one or more ids from "
                        f"0 to {vocabulary_size - 1} without the end token {end}"
                    )

    def _classified(
        self,
        vocabulary_size: int,
        end: int,
        symbols: Sequence[int],
        single: Sequence[int],
        allowed: Sequence[int],
    ) -> np.ndarray:
        """Returns the class of each token; what is forbidden by itself is never allowed."""
        classes = np.full(vocabulary_size, NEVER if len(allowed) else OTHER, np.int32)
        classes[np.array(allowed, np.int64)] = OTHER
        possible = [t for t in symbols if classes[t] == OTHER]
        classes[possible] = [3 + symbols.index(t) for t in possible]
        classes[np.array(single, np.int64)] = NEVER
        classes[end] = END
        return classes

    def _connect(self, phrases: list[list[int]], required: int) -> None:
        """Builds the nodes: beginnings of phrases, each known by its longest match."""
        beginnings = list(dict.fromkeys(tuple(p[:n]) for p in phrases for n in range(len(p) + 1)))
        nodes = sorted(beginnings or [()], key=len)
        number = {node: index for index, node in enumerate(nodes)}
        self.dead = len(nodes)
        symbols = range(3, len(self.tokens))
        self.transitions = np.zeros((len(nodes) + 1, len(self.tokens)), np.int32)
        self.transitions[:, NEVER] = self.transitions[:, END] = self.dead
        self.transitions[self.dead] = self.dead
        self.completes = np.zeros(len(nodes) + 1, np.int32)
        for node in nodes:
            for symbol in symbols:
                longer = (*node, symbol)
                matches = (longer[i:] for i in range(len(longer) + 1) if longer[i:] in number)
                self.transitions[number[node], symbol] = number[next(matches)]
            for index, phrase in enumerate(phrases[:required]):
                if node[len(node) - len(phrase) :] == tuple(phrase) and len(node) >= len(phrase):
                    self.completes[number[node]] |= 1 << index
        for phrase in phrases[required:]:
            size = len(phrase)
            bad = [number[n] for n in nodes if len(n) >= size and n[-size:] == tuple(phrase)]
            self.transitions[np.isin(self.transitions, bad)] = self.dead

    def _measured(self, required: int) -> np.ndarray:
        """Returns the fewest tokens to the end for each set of phrases seen and each node."""
        everything = (1 << required) - 1
        seen = np.arange(everything + 1)[:, np.newaxis, np.newaxis]
        following = self.transitions[np.newaxis]
        seen_after = seen | self.completes[following]
        distances = np.full((everything + 1, self.dead + 1), UNREACHABLE, np.int32)
        distances[everything, : self.dead] = 0
        while True:
            nearest = np.minimum(distances, 1 + distances[seen_after, following].min(axis=2))
            if (nearest == distances).all():
                return distances
            distances = nearest

    def _after_prefix(self) -> int:
        """Returns the fewest tokens in all: the prefix and what it leaves to be said."""
        seen = node = 0
        for token in self.prefix:
            node = self.transitions[node, self.classes[token]]
            seen |= int(self.completes[node])
        if self.distances[seen, node] >= UNREACHABLE:
            raise ValueError(
                f"required, forbidden, allowed and prefixes: those of row {self.row} contradict "
                "each other"
            )
        return len(self.prefix) + int(self.distances[seen, node])
