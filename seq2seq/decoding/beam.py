"""Beam search."""

import tensorflow as tf

from seq2seq.decoding.lengths import LengthLimits
from seq2seq.decoding.partial import Choice, Partial, follow
from seq2seq.decoding.penalties import CoveragePenalty, LengthPenalty
from seq2seq.decoding.rules import NEVER, Rules
from seq2seq.decoding.strategy import Sources, Strategy, View
from seq2seq.decoding.top import top_k

FIRST = float("inf")
"""Selects what has ended before everything that has not."""


class BeamSearch(Strategy):
    """Keeps the `beam_size` most probable beginnings of each source.

    A hypothesis that ends keeps its place in the beam, and the search goes on with the others; it
    stops where none of them, whatever it became, could displace one of the `n_best`. Hypotheses are
    ranked by `log-probability / length penalty + coverage penalty`. A beam of 1 is greedy search.

    Args:
        beam_size: Hypotheses kept for each source.
        n_best: How many are answered, on an axis of their own; None for the best without that axis.
        length_penalty: What log-probabilities are divided by; None for nothing.
        coverage_penalty: What is added for attention that left source tokens out; None for nothing.
        maximum_length_ratio: Tokens allowed for each source token.
        maximum_length_extra: Tokens allowed on top.
        minimum_length_ratio: Tokens demanded for each source token.
        minimum_length_extra: Tokens demanded on top.
        repetition_penalty: Factor on the log-probability of tokens that a hypothesis has already; 1
            for none. The beam ranks by what it gives; the returned scores are without it.
        no_repeat_ngram_size: n-grams of this size may not come twice in a hypothesis; 0 for no such
            rule.

    Raises:
        ValueError: If an argument has an impossible value, or two of them do not fit.
    """

    def __init__(
        self,
        beam_size: int = 5,
        n_best: int | None = None,
        length_penalty: LengthPenalty | None = None,
        coverage_penalty: CoveragePenalty | None = None,
        maximum_length_ratio: float = 2.0,
        maximum_length_extra: int = 10,
        minimum_length_ratio: float = 0.0,
        minimum_length_extra: int = 0,
        repetition_penalty: float = 1.0,
        no_repeat_ngram_size: int = 0,
    ) -> None:
        limits = LengthLimits(
            maximum_length_ratio, maximum_length_extra, minimum_length_ratio, minimum_length_extra
        )
        super().__init__(limits, Rules(repetition_penalty, no_repeat_ngram_size))
        if beam_size < 1:
            raise ValueError(f"beam_size: must be at least 1, got {beam_size}")
        if n_best is not None and not 1 <= n_best <= beam_size:
            raise ValueError(
                f"n_best and beam_size: a beam of {beam_size} gives 1 to {beam_size} hypotheses, "
                f"not {n_best}"
            )
        self.beam_size = beam_size
        self.answers = 1 if n_best is None else n_best
        self.several = n_best is not None
        self.length_penalty = length_penalty or LengthPenalty(0.0)
        self.coverage_penalty = coverage_penalty
        self.needs_coverage = coverage_penalty is not None

    def choose(self, view: View) -> Choice:
        """Chooses the best continuations of each source's hypotheses."""
        tokens, gains = self._candidates(view)
        ranking = view.partial.rank[:, :, tf.newaxis] + gains
        stays = tf.logical_and(view.partial.finished[:, :, tf.newaxis], ranking > NEVER)
        order = tf.where(stays, FIRST, ranking)

        count = tokens.shape[2]
        missing = max(0, self.beam_size - order.shape[1] * count)
        order = tf.reshape(order, [-1, order.shape[1] * count])
        order = tf.pad(order, [[0, 0], [0, missing]], constant_values=NEVER)
        best, chosen = tf.math.top_k(order, self.beam_size)
        chosen = tf.minimum(chosen, tokens.shape[1] * count - 1)

        def pick(candidates: tf.Tensor) -> tf.Tensor:
            return tf.gather(tf.reshape(candidates, [tf.shape(order)[0], -1]), chosen, batch_dims=1)

        tokens, weights, parents = pick(tokens), pick(gains), chosen // count
        gains = weights
        if self.rules.change_probabilities:
            gains = self._model_gains(view, parents, tokens)
        return Choice(tokens, gains, weights, parents, empty=tf.equal(best, NEVER))

    def _candidates(self, view: View) -> tuple[tf.Tensor, tf.Tensor]:
        """Returns the best tokens of each hypothesis and their gains, `(batch, width, count)`.

        A hypothesis with a forced token has that as its first candidate, and no other; one that has
        ended is its own continuation, at no cost.
        """
        values, tokens = top_k(view.values, min(self.beam_size, view.values.shape[-1]))
        gains = values - view.normalizer[..., tf.newaxis]
        forced_gains = tf.where(
            view.partial.finished,
            0.0,
            view.log_probabilities(tf.maximum(view.forced, 0)),
        )
        free = (view.forced < 0)[..., tf.newaxis]
        first = tf.equal(tf.range(tokens.shape[-1]), 0)
        only = tf.where(first, forced_gains[..., tf.newaxis], NEVER)
        tokens = tf.where(free, tokens, view.forced[..., tf.newaxis])
        return tokens, tf.where(free, gains, only)

    def _model_gains(self, view: View, parents: tf.Tensor, tokens: tf.Tensor) -> tf.Tensor:
        """Returns the model's own log-probabilities of chosen tokens."""
        places = tf.stack([parents, tokens], axis=-1)
        logits = tf.gather_nd(view.logits, places, batch_dims=1)
        return logits - tf.gather(view.normalizer, parents, batch_dims=1)

    def settle(self, partial: Partial, sources: Sources) -> Partial:
        """Drops the hypotheses of sources whose answers none of them could displace.

        Log-probabilities only fall, and no length penalty divides by more than at the limit.
        """
        objectives = self._objectives(partial, sources)
        worst_answer = tf.math.top_k(objectives, self.answers).values[:, -1]
        most_hopeful = tf.reduce_max(tf.where(partial.finished, NEVER, partial.rank), axis=1)
        bound = most_hopeful / self.length_penalty.divisor(sources.longest + 1)
        decided = tf.logical_and(worst_answer >= bound, worst_answer > NEVER)[:, tf.newaxis]
        dropped = tf.logical_and(decided, tf.logical_not(partial.finished))
        ranking = partial.ranking
        if not isinstance(ranking, tuple):
            ranking = tf.where(dropped, NEVER, ranking)
        return partial._replace(
            finished=tf.logical_or(partial.finished, dropped),
            scores=tf.where(dropped, NEVER, partial.scores),
            ranking=ranking,
        )

    def _objectives(self, partial: Partial, sources: Sources) -> tf.Tensor:
        """Returns what each hypothesis is ranked by, `(batch, width)`; -inf if it has not ended."""
        objectives = partial.rank / self.length_penalty.divisor(partial.lengths + 1)
        if self.coverage_penalty is not None:
            objectives += self.coverage_penalty(partial.coverage, sources.lengths)
        return tf.where(partial.finished, objectives, NEVER)

    def ranked(self, partial: Partial, sources: Sources) -> tuple[Partial, tf.Tensor]:
        """Returns the `n_best` hypotheses, best first."""
        objectives, places = tf.math.top_k(self._objectives(partial, sources), self.answers)
        partial = follow(partial, places)
        found = objectives > NEVER
        return partial._replace(lengths=tf.where(found, partial.lengths, 0)), objectives
