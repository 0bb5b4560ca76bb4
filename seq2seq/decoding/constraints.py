"""Lexical constraints: prefixes, required and forbidden phrases, and allowed tokens.

All constraints of a source become one automaton that knows, at each state, how many more tokens are
needed at least. A search then allows a token only if what is missing fits behind it, so that all
constraints that can be satisfied within the maximum length are.
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
MAX_REQUIRED = 10
MAX_PHRASE_TOKENS = 10_000
"""Of all phrases of a row together."""
CACHED_AUTOMATA = 32
"""Many rows and batches have the same constraints."""


class Constraints(NamedTuple):
    """The compiled constraints of a batch; numpy arrays, or tensors in a graph, all int32."""

    prefixes: Any  # (batch, prefix_length), the first tokens, padded with -1
    classes: Any  # (batch, vocabulary_size), the class of each token
    transitions: Any  # (batch, nodes, classes), the node after a token of that class
    completes: Any  # (batch, nodes), the required phrases that end at a node, as bits
    distances: Any  # (batch, 2 ** phrases, nodes), fewest tokens left, by phrases seen and node
    tokens: Any  # (batch, classes), the token of each class from 3 on, else -1
    needed: Any  # (batch,), the fewest tokens of a hypothesis


def compile_constraints(
    batch: int,
    vocabulary_size: int,
    end: int,
    prefixes: Sequence[Phrase] | None = None,
    required: Sequence[Sequence[Phrase]] | None = None,
    forbidden: Sequence[Sequence[Phrase]] | None = None,
    allowed: Sequence[Sequence[int]] | None = None,
) -> Constraints:
    """Compiles the constraints of a batch to numpy arrays.

    Args:
        batch: Number of rows; each kind of constraint has one entry for each row, or is None.
        vocabulary_size: Number of token ids.
        end: Id of the end token, which is always allowed where nothing is missing.
        prefixes: The first tokens of each row; an empty list for none.
        required: The phrases that must appear in each row, in any order; they may overlap.
        forbidden: The phrases that must not appear in each row.
        allowed: The only tokens of each row, including its prefix and phrases; an empty list allows
            all.

    Raises:
        ValueError: If there is not one entry for each row, an id is impossible, or constraints
            contradict each other.
    """
    options: dict[str, Any] = {
        "prefixes": prefixes,
        "required": required,
        "forbidden": forbidden,
        "allowed": allowed,
    }
    for name, entries in options.items():
        if entries is not None and len(entries) != batch:
            raise ValueError(f"{name}: {batch} rows need as many entries, got {len(entries)}")
    rows = []
    for row in range(batch):
        phrases = [entries[row] if entries else () for entries in options.values()]
        _check_row(row, vocabulary_size, end, *phrases)
        rows.append(_cached_automaton(vocabulary_size, end, *map(_as_tuples, phrases)))
        if rows[-1].needed >= UNREACHABLE:
            raise ValueError(
                f"required, forbidden, allowed and prefixes: those of row {row} contradict each "
                "other"
            )
    return Constraints(
        _stack([row.prefix for row in rows], -1),
        np.stack([row.classes for row in rows]),
        _stack([row.transitions for row in rows], 0),
        _stack([row.completes for row in rows], 0),
        _stack([row.distances for row in rows], UNREACHABLE),
        _stack([row.tokens for row in rows], -1),
        np.array([row.needed for row in rows], np.int32),
    )


def on_shortlist(constraints: Constraints, shortlist: np.ndarray) -> Constraints:
    """Returns constraints on a search whose token ids are places in a shortlist.

    Args:
        constraints: The compiled constraints, numpy arrays.
        shortlist: Token ids in ascending order, int32 `(tokens,)`; the end token's place must be
            its id, and all tokens of prefixes, required phrases and allowed ones must be in it.
    """
    places = np.full(constraints.classes.shape[1] + 1, -1, np.int32)  # the last is that of a -1
    places[shortlist] = np.arange(len(shortlist))
    return constraints._replace(
        prefixes=places[constraints.prefixes],
        classes=constraints.classes[:, shortlist],
        tokens=places[constraints.tokens],
    )


def _stack(arrays: list[np.ndarray], padding: int) -> np.ndarray:
    """Stacks arrays of one rank, padded to the largest size of each axis."""
    if all(array is arrays[0] for array in arrays):
        return np.broadcast_to(arrays[0], (len(arrays), *arrays[0].shape))
    shape = np.max([array.shape for array in arrays], axis=0)
    stacked = np.full((len(arrays), *shape), padding, np.int32)
    for row, array in zip(stacked, arrays, strict=True):
        row[tuple(map(slice, array.shape))] = array
    return stacked


def _check_row(
    row: int,
    vocabulary_size: int,
    end: int,
    prefix: Phrase,
    required: Sequence[Phrase],
    forbidden: Sequence[Phrase],
    allowed: Sequence[int],
) -> None:
    count = len({tuple(phrase) for phrase in required})
    if count > MAX_REQUIRED:
        raise ValueError(f"required: at most {MAX_REQUIRED} phrases, row {row} has {count}")
    size = phrase_tokens(required, forbidden)
    if size > MAX_PHRASE_TOKENS:
        raise ValueError(
            f"required and forbidden: row {row} has {size} tokens, {MAX_PHRASE_TOKENS} fit"
        )
    for name, phrases in (
        ("prefixes", [prefix] if len(prefix) else []),
        ("required", required),
        ("forbidden", forbidden),
        ("allowed", [allowed] if len(allowed) else []),
    ):
        for phrase in phrases:
            invalid = [t for t in phrase if not 0 <= t < vocabulary_size]
            if not len(phrase) or invalid or (end in phrase and name != "allowed"):
                raise ValueError(
                    f"{name}: row {row} has {list(phrase)}; must be one or more ids from 0 to "
                    f"{vocabulary_size - 1} without the end token {end}"
                )


def phrase_tokens(required: Sequence[Phrase], forbidden: Sequence[Phrase]) -> int:
    """Returns the number of tokens of all phrases that become nodes of the automaton."""
    longer = (phrase for phrase in forbidden if len(phrase) > 1)
    return sum(map(len, chain(required, longer)))


def _as_tuples(values: Sequence[Any]) -> tuple[Any, ...]:
    """Returns a phrase, or phrases, as tuples, which are the key of the cache."""
    return tuple(int(v) if np.ndim(v) == 0 else tuple(map(int, v)) for v in values)


class _Automaton:
    """The constraints of one row: an Aho-Corasick automaton over all phrases.

    A node is a prefix of a phrase: the longest one that a hypothesis ends with.
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
        class_of = {token: 3 + index for index, token in enumerate(symbols)}
        self.tokens = np.array([-1, -1, -1, *symbols], np.int32)

        self.classes = np.full(vocabulary_size, NEVER if allowed else OTHER, np.int32)
        self.classes[np.array(allowed, np.int64)] = OTHER
        possible = [token for token in symbols if self.classes[token] == OTHER]
        self.classes[possible] = [class_of[token] for token in possible]
        self.classes[np.array(single, np.int64)] = NEVER
        self.classes[end] = END

        phrases = [[class_of[token] for token in phrase] for phrase in (*required, *longer)]
        self._build_nodes(phrases, len(required))
        for token in set(symbols) & set(np.flatnonzero(self.classes == NEVER).tolist()):
            self.transitions[:, class_of[token]] = self.dead
        if not (self.classes == OTHER).any():
            self.transitions[:, OTHER] = self.dead
        self.distances = self._shortest_distances(len(required))

        seen = node = 0
        for token in prefix:
            node = self.transitions[node, self.classes[token]]
            seen |= int(self.completes[node])
        # At least `UNREACHABLE` where constraints contradict each other.
        self.needed = len(prefix) + int(self.distances[seen, node])

    def _build_nodes(self, phrases: list[list[int]], required: int) -> None:
        """Builds the nodes, shortest first, and the transitions between them."""
        children_of, ends = _trie(phrases)
        self.dead = len(children_of)
        self.transitions = np.zeros((self.dead + 1, len(self.tokens)), np.int32)
        self.completes = np.zeros(self.dead + 1, np.int32)
        forbidden = np.zeros(self.dead + 1, bool)
        for index, node in enumerate(ends):
            if index < required:
                self.completes[node] |= 1 << index
            else:
                forbidden[node] = True
        # The failure link, the node's longest proper suffix: built before, as it is shorter.
        suffix = np.zeros(self.dead, np.int32)
        for node, children in enumerate(children_of):
            if node:
                self.transitions[node] = self.transitions[suffix[node]]
                self.completes[node] |= self.completes[suffix[node]]
                forbidden[node] |= forbidden[suffix[node]]
            for symbol, child in children.items():
                suffix[child] = self.transitions[node, symbol]
                self.transitions[node, symbol] = child
        self.transitions[forbidden[self.transitions]] = self.dead
        self.transitions[:, [NEVER, END]] = self.dead
        self.transitions[self.dead] = self.dead

    def _shortest_distances(self, required: int) -> np.ndarray:
        """Returns the fewest tokens to the end for each set of phrases seen and each node.

        A breadth-first search backwards from the states in which all phrases have been seen.
        """
        size = self.dead + 1
        edges = np.unique(self.transitions + size * np.arange(size)[:, np.newaxis])
        sources, targets = np.divmod(edges, size)
        order = np.argsort(targets, kind="stable")
        sources = sources[order]
        first = np.searchsorted(targets[order], np.arange(size + 1))
        distances = np.full((1 << required) * size, UNREACHABLE, np.int32)
        frontier = np.arange(self.dead) + (len(distances) - size)
        distances[frontier] = 0
        for distance in range(1, UNREACHABLE):
            seen, node = np.divmod(frontier, size)
            seen, node = _predecessors(seen, node, self.completes[node])
            counts = first[node + 1] - first[node]
            ends = np.cumsum(counts)
            edge = np.arange(counts.sum()) + np.repeat(first[node] - ends + counts, counts)
            states = np.repeat(seen * size, counts) + sources[edge]
            frontier = np.unique(states[distances[states] == UNREACHABLE])
            if not len(frontier):
                break
            distances[frontier] = distance
        return distances.reshape(-1, size)


_cached_automaton = lru_cache(CACHED_AUTOMATA)(_Automaton)


def _predecessors(
    seen: np.ndarray, node: np.ndarray, completed: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Returns all sets of phrases that become `seen` on entering a node, with the node.

    They have any subset of the phrases completed there, and lack none of the others.
    """
    possible = (completed & ~seen) == 0
    seen, node, completed = seen[possible], node[possible], completed[possible]
    sets, nodes = [seen], [node]
    subset = completed
    while (remaining := subset > 0).any():
        seen, node, completed = seen[remaining], node[remaining], completed[remaining]
        subset = (subset[remaining] - 1) & completed
        sets.append((seen & ~completed) | subset)
        nodes.append(node)
    return np.concatenate(sets), np.concatenate(nodes)


def _trie(phrases: list[list[int]]) -> tuple[list[dict[int, int]], list[int]]:
    """Returns the children of each node by symbol, shortest first, and the node of each phrase."""
    children_of: list[dict[int, int]] = [{}]
    nodes = [0] * len(phrases)
    for length in range(max(map(len, phrases), default=0)):
        for index, phrase in enumerate(phrases):
            if length < len(phrase):
                children = children_of[nodes[index]]
                if phrase[length] not in children:
                    children[phrase[length]] = len(children_of)
                    children_of.append({})
                nodes[index] = children[phrase[length]]
    return children_of, nodes
