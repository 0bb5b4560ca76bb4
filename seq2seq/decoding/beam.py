"""Beam search."""

import tensorflow as tf

from seq2seq.decoding.constraints import Constraints
from seq2seq.decoding.lengths import LengthLimits
from seq2seq.decoding.partial import Choice, Partial, follow
from seq2seq.decoding.penalties import CoveragePenalty, DiversityPenalty, LengthPenalty
from seq2seq.decoding.rules import NEVER, Rules
from seq2seq.decoding.selection import FIRST, Candidates, give_places, with_missing_words
from seq2seq.decoding.strategy import Strategy
from seq2seq.decoding.view import Sources, View
from seq2seq.ops.top_k import top_k


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
        diversity_penalty: What parts the beam into groups that differ; None for one group.
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

    spreads = True

    def __init__(
        self,
        beam_size: int = 5,
        n_best: int | None = None,
        length_penalty: LengthPenalty | None = None,
        coverage_penalty: CoveragePenalty | None = None,
        diversity_penalty: DiversityPenalty | None = None,
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
        self.groups = diversity_penalty.groups if diversity_penalty else 1
        self.strength = diversity_penalty.strength if diversity_penalty else 0.0
        if beam_size % self.groups:
            raise ValueError(
                f"diversity_penalty.groups and beam_size: {self.groups} groups cannot share a beam "
                f"of {beam_size} evenly"
            )
        self.beam_size = beam_size
        self.answers = 1 if n_best is None else n_best
        self.several = n_best is not None
        self.length_penalty = length_penalty or LengthPenalty(0.0)
        self.coverage_penalty = coverage_penalty
        self.needs_coverage = coverage_penalty is not None

    def choose(self, view: View) -> Choice:
        """Chooses the best continuations of each source's hypotheses."""
        candidates = self._ordered(view, *self._candidates(view))
        places = give_places(candidates, self.beam_size, self.groups, self.strength)

        def pick(part: tf.Tensor) -> tf.Tensor:
            every = tf.reshape(part, [tf.shape(part)[0], -1])
            return tf.gather(every, places.indices, batch_dims=1)

        tokens, ranking = pick(candidates.tokens), pick(candidates.gains)
        parents = places.indices // tf.shape(candidates.tokens)[2]
        gains = ranking
        if self.rules.change_probabilities:
            gains = self._model_gains(view, parents, tokens)
        return Choice(tokens, gains, ranking, parents, places.empty)

    def _ordered(self, view: View, tokens: tf.Tensor, gains: tf.Tensor) -> Candidates:
        """Orders candidates by probability, after those that have ended."""
        ahead, constraints, remaining = view.ahead, view.sources.constraints, None
        if ahead is not None and isinstance(constraints, Constraints):
            tokens, gains, remaining = with_missing_words(view, ahead, constraints, tokens, gains)
        order = view.partial.rank[..., tf.newaxis] + gains
        stays = tf.logical_and(view.partial.finished[..., tf.newaxis], order > NEVER)
        return Candidates(tokens, gains, tf.where(stays, FIRST, order), remaining)

    def _candidates(self, view: View) -> tuple[tf.Tensor, tf.Tensor]:
        """Returns the best tokens of each hypothesis and their gains, `(batch, width, count)`.

        A hypothesis with a forced token has that as its first candidate, and no other; one that has
        ended is its own continuation, at no cost.
        """
        count = min(self.beam_size, view.values.shape[-1])
        values, tokens = top_k(view.values, count, view.peaks)
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

        Log-probabilities only fall, and no length penalty divides by more than at the limit. Groups
        go on to their end: what one does changes what the next prefers.
        """
        if self.groups > 1:
            return partial
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
        """Returns the `n_best` hypotheses, best first; none twice, whatever groups found."""
        objectives = self._objectives(partial, sources)
        if self.groups > 1:
            objectives, places = tf.math.top_k(objectives, self.beam_size)
            partial = follow(partial, places)
            objectives = tf.where(_seen_before(partial.tokens), NEVER, objectives)
        objectives, places = tf.math.top_k(objectives, self.answers)
        partial, found = follow(partial, places), objectives > NEVER
        return partial._replace(scores=tf.where(found, partial.scores, NEVER)), objectives


def _seen_before(tokens: tf.Tensor) -> tf.Tensor:
    """Returns which hypotheses `(batch, width, time)` equal one that stands before them."""
    same = tf.reduce_all(tf.equal(tokens[:, :, tf.newaxis], tokens[:, tf.newaxis]), axis=3)
    places = tf.range(tf.shape(tokens)[1])
    return tf.reduce_any(tf.logical_and(same, places < places[:, tf.newaxis]), axis=2)
