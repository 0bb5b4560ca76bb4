"""Random models over tiny vocabularies, and searches over them in plain Python.

The logits depend on the whole prefix through a hash; the attention does too. Nothing here shares
code with `seq2seq.decoding`.
"""

from dataclasses import dataclass, replace

import numpy as np
import tensorflow as tf

START, END = 0, 1
PRIME = 499


@dataclass(frozen=True)
class Options:
    """How sequences are searched and ranked; the names are those of the config."""

    maximum: int = 3
    minimum: int = 0
    repetition_penalty: float = 1.0
    no_repeat_ngram_size: int = 0
    alpha: float = 0.0
    gnmt: bool = False
    beta: float = 0.0
    groups: int = 1
    strength: float = 0.0
    prefix: tuple = ()
    required: tuple = ()
    forbidden: tuple = ()
    allowed: tuple = ()


@dataclass(frozen=True)
class Found:
    tokens: tuple
    gains: tuple = ()
    weights: tuple = ()
    attention: tuple = ()
    ended: bool = False

    @property
    def score(self):
        return sum(self.gains)

    @property
    def rank(self):
        return sum(self.weights)


class RandomModel:
    """Ids 2 and above are ordinary tokens; the start token may be generated like one."""

    def __init__(self, seed, vocabulary=4, source_length=3):
        generator = np.random.default_rng(seed)
        self.vocabulary, self.source_length = vocabulary, source_length
        self.logits = (2 * generator.normal(size=(PRIME, vocabulary))).astype(np.float32)
        self.attention = generator.random(size=(PRIME, source_length)).astype(np.float32) ** 4

    # In TensorFlow, as a step. The state is the hash, the memory the mask of each source.
    def step(self, tokens, state, memory):
        state = (state * 31 + tokens + 7) % PRIME
        width = tf.shape(tokens)[0] // tf.shape(memory)[0]
        attention = tf.gather(self.attention, tf.reshape(state, (-1, width)))
        attention *= memory[:, tf.newaxis]
        attention /= tf.reduce_sum(attention, axis=-1, keepdims=True)
        attention = tf.reshape(attention, (-1, self.source_length))
        return tf.gather(self.logits, state), state, attention

    def run(self, strategy, seeds, source_lengths, compiled=False, **arguments):
        """Searches from one state a row; returns numpy arrays by name.

        Not compiled, the same code runs, and a property test can try many more examples.
        """

        def search(state, lengths):
            memory = tf.sequence_mask(lengths, self.source_length, tf.float32)
            return strategy(self.step, state, lengths, START, END, memory=memory, **arguments)

        search = tf.function(search, autograph=False) if compiled else search
        found = search(tf.constant(seeds, tf.int32), tf.constant(source_lengths, tf.int32))
        return {k: v.numpy() for k, v in found._asdict().items() if v is not None}

    # In plain Python, one row at a time.
    def look(self, seed, prefix):
        for token in (START, *prefix):
            seed = (seed * 31 + token + 7) % PRIME
        logits = self.logits[seed].astype(np.float64)
        return logits - np.log(np.exp(logits).sum()), self.attention[seed].astype(np.float64)

    def continuations(self, seed, source_length, found, options):
        """Yields every hypothesis that is one token longer."""
        prefix = found.tokens
        maximum = max(options.maximum, self.longest_need(options))
        gains, attention = self.look(seed, prefix)
        attention = attention[:source_length] / attention[:source_length].sum()
        weights = gains.copy()
        for token in set(prefix):
            weights[token] *= options.repetition_penalty
        permitted = set(range(self.vocabulary)) - {END}
        room = maximum - len(prefix) - 1
        need = self.need(prefix, options)
        after = {token: self.need((*prefix, token), options) for token in permitted}
        permitted = {token for token in permitted if after[token] <= room}
        if need == 0 and len(prefix) >= options.minimum:
            permitted |= {END}
        size = options.no_repeat_ngram_size
        if size:
            seen = {prefix[i : i + size] for i in range(len(prefix) - size + 1)}
            new = {t for t in permitted if (*prefix, t)[-size:] not in seen or len(prefix) < size}
            new |= {t for t in permitted - {END} if after[t] < need}
            permitted = new or permitted
        permitted = permitted or {END}
        if len(prefix) < len(options.prefix):
            permitted = {options.prefix[len(prefix)]}
        if len(prefix) >= maximum:
            permitted = {END}
        for token in sorted(permitted):
            yield replace(
                found,
                tokens=prefix if token == END else (*prefix, token),
                gains=(*found.gains, gains[token]),
                weights=(*found.weights, weights[token]),
                attention=(*found.attention, attention),
                ended=token == END,
            )

    def need(self, tokens, options):
        """Returns the fewest tokens that must follow, breadth first; inf if nothing helps."""
        allowed = set(options.allowed or range(self.vocabulary)) - {END}
        if any(contains(tokens, phrase) for phrase in options.forbidden) or set(tokens) - allowed:
            return np.inf
        memory = max((len(p) for p in (*options.required, *options.forbidden)), default=1)
        missing = frozenset(p for p in options.required if not contains(tokens, p))
        border, known, distance = {(missing, tokens[-memory:])}, set(), 0
        while border:
            if any(not missing for missing, _ in border):
                return distance
            known |= border
            longer = {(m, (*last, token)) for m, last in border for token in allowed}
            border = {
                (frozenset(p for p in m if not contains(last, p)), last[-memory:])
                for m, last in longer
                if not any(contains(last, phrase) for phrase in options.forbidden)
            } - known
            distance += 1
        return np.inf

    def longest_need(self, options):
        return len(options.prefix) + self.need(options.prefix, options)

    def objective(self, found, options):
        length = len(found.tokens) + 1
        divisor = ((5 + length) / 6 if options.gnmt else length) ** options.alpha
        coverage = np.sum(found.attention, axis=0)
        penalty = np.log(np.clip(coverage, 1e-6, 1)).sum()
        return found.rank / divisor + options.beta * penalty

    def enumerate(self, seed, source_length, options):
        """Returns every complete sequence, best first."""
        complete, live = [], [Found(())]
        while live:
            grown = [c for f in live for c in self.continuations(seed, source_length, f, options)]
            complete += [f for f in grown if f.ended]
            live = [f for f in grown if not f.ended]
        return sorted(complete, key=lambda f: -self.objective(f, options))

    def beam(self, seed, source_length, options, size):
        """Beam search whose ended hypotheses keep their places, to the very end."""
        share = size // options.groups
        beams = [[Found(())] for _ in range(options.groups)]
        while not all(f.ended for beam in beams for f in beam):
            taken = []
            for group, beam in enumerate(beams):
                ended = [f for f in beam if f.ended]
                grown = [
                    c
                    for f in beam
                    if not f.ended
                    for c in self.continuations(seed, source_length, f, options)
                ]
                grown.sort(key=lambda f: -f.rank + options.strength * taken.count(last(f)))
                beams[group] = ended + self.in_turn(grown, options)[: share - len(ended)]
                taken += [last(f) for f in beams[group][len(ended) :]]
        every = {f.tokens: f for beam in beams for f in beam}.values()
        return sorted(every, key=lambda f: -self.objective(f, options))

    def in_turn(self, found, options):
        """Returns the best of each bank, the second best of each, and so on."""
        banks = {}
        for place, f in enumerate(found):
            banks.setdefault(self.need(f.tokens, options), []).append((place, f))
        turns = [
            (turn, place, f) for bank in banks.values() for turn, (place, f) in enumerate(bank)
        ]
        return [f for _, _, f in sorted(turns, key=lambda entry: entry[:2])]


def last(found):
    return END if found.ended else found.tokens[-1]


def contains(tokens, phrase):
    size = len(phrase)
    return any(tokens[i : i + size] == phrase for i in range(len(tokens) - size + 1))
