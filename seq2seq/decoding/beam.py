"""Beam search."""

from dataclasses import dataclass

import tensorflow as tf

from seq2seq.decoding.beam_state import BeamState, Continuations, gather_beams
from seq2seq.decoding.candidate_selection import (
    FINISHED_PRIORITY,
    Candidates,
    add_required_candidates,
    select_candidates,
)
from seq2seq.decoding.constraints import Constraints
from seq2seq.decoding.logits_processors import NEG_INF
from seq2seq.decoding.next_token_logits import NextTokenLogits, Sources
from seq2seq.decoding.penalties import CoveragePenalty, DiversityPenalty, LengthPenalty
from seq2seq.decoding.strategy import Strategy
from seq2seq.ops.top_k import top_k


@dataclass(eq=False)
class BeamSearch(Strategy):
    """Keeps the `beam_size` most probable hypotheses of each source.

    A finished hypothesis keeps its slot in the beam, and the search continues with the others; it
    stops when none of them could still displace one of the `n_best`. Hypotheses are ranked by
    `log-probability / length penalty + coverage penalty`. A beam of 1 is greedy search. Further
    arguments: see `Strategy`; the beam is ranked with the repetition penalty, returned scores are
    without it.

    Args:
        beam_size: Hypotheses kept for each source.
        n_best: Hypotheses returned, on an axis of their own; None for the best without that axis.
        length_penalty: Divides log-probabilities; None for no penalty.
        coverage_penalty: Penalty on source tokens that got little attention; None for none.
        diversity_penalty: Splits the beam into diverse groups; None for one group.

    Raises:
        ValueError: If an argument has an impossible value, or two of them contradict each other.
    """

    beam_size: int = 5
    n_best: int | None = None
    length_penalty: LengthPenalty | None = None
    coverage_penalty: CoveragePenalty | None = None
    diversity_penalty: DiversityPenalty | None = None

    uses_banks = True

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.beam_size < 1:
            raise ValueError(f"beam_size: must be at least 1, got {self.beam_size}")
        if self.n_best is not None and not 1 <= self.n_best <= self.beam_size:
            raise ValueError(
                f"n_best and beam_size: a beam of {self.beam_size} gives 1 to {self.beam_size} "
                f"hypotheses, not {self.n_best}"
            )
        if 0 < self.shortlist < self.beam_size:
            raise ValueError(
                f"shortlist and beam_size: a beam of {self.beam_size} needs as many tokens, got "
                f"shortlist={self.shortlist}"
            )
        diversity = self.diversity_penalty
        self.groups = diversity.groups if diversity else 1
        self.strength = diversity.strength if diversity else 0.0
        if self.beam_size % self.groups:
            raise ValueError(
                f"diversity_penalty.groups and beam_size: {self.groups} groups cannot share a beam "
                f"of {self.beam_size} evenly"
            )
        self.result_count = self.n_best or 1
        self.returns_multiple = self.n_best is not None
        self.length_divisor = (self.length_penalty or LengthPenalty(0.0)).divisor
        self.needs_coverage = self.coverage_penalty is not None

    def select(self, next_token: NextTokenLogits) -> Continuations:
        """Selects the best continuations of each source's hypotheses."""
        candidates = self._candidates(next_token)  # (batch, width, count)
        selection = select_candidates(candidates, self.beam_size, self.groups, self.strength)

        def gather(field: tf.Tensor) -> tf.Tensor:
            flat = tf.reshape(field, [tf.shape(field)[0], -1])  # (batch, width * count)
            return tf.gather(flat, selection.indices, batch_dims=1)  # (batch, beam_size)

        tokens, penalized = gather(candidates.tokens), gather(candidates.log_probabilities)
        parents = selection.indices // tf.shape(candidates.tokens)[2]
        log_probabilities = penalized
        if self.processor.changes_probabilities:
            indices = tf.stack([parents, tokens], axis=-1)
            logits = tf.gather_nd(next_token.logits, indices, batch_dims=1)
            log_probabilities = logits - tf.gather(next_token.normalizer, parents, batch_dims=1)
        return Continuations(tokens, log_probabilities, penalized, parents, selection.empty)

    def _candidates(self, next_token: NextTokenLogits) -> Candidates:
        """Returns the best tokens of each hypothesis, and those that constraints require."""
        tokens, log_probabilities = self._best_tokens(next_token)
        lookahead, remaining = next_token.lookahead, None
        constraints = next_token.sources.constraints
        if lookahead is not None and isinstance(constraints, Constraints):
            tokens, log_probabilities, remaining = add_required_candidates(
                next_token, lookahead, constraints, tokens, log_probabilities
            )
        beam = next_token.beam
        priorities = beam.ranking_scores[..., tf.newaxis] + log_probabilities
        stays = tf.logical_and(beam.finished[..., tf.newaxis], priorities > NEG_INF)
        priorities = tf.where(stays, FINISHED_PRIORITY, priorities)
        return Candidates(tokens, log_probabilities, priorities, remaining)

    def _best_tokens(self, next_token: NextTokenLogits) -> tuple[tf.Tensor, tf.Tensor]:
        """Returns the best tokens and their log-probabilities, `(batch, width, count)`.

        A hypothesis with a forced token has that as its only candidate; a finished one has the end
        token, with log-probability 0.
        """
        size = next_token.processed.shape[-1]  # None for a shortlist, which holds a beam at least
        count = self.beam_size if size is None else min(self.beam_size, size)
        logits, tokens = top_k(next_token.processed, count, next_token.peaks)
        log_probabilities = logits - next_token.normalizer[..., tf.newaxis]
        forced_log_probabilities = tf.where(
            next_token.beam.finished,
            0.0,
            next_token.log_probabilities(tf.maximum(next_token.forced, 0)),
        )
        free = (next_token.forced < 0)[..., tf.newaxis]  # (batch, width, 1)
        first = tf.equal(tf.range(tokens.shape[-1]), 0)
        forced = tf.where(first, forced_log_probabilities[..., tf.newaxis], NEG_INF)
        tokens = tf.where(free, tokens, next_token.forced[..., tf.newaxis])
        return tokens, tf.where(free, log_probabilities, forced)

    def prune(self, beam: BeamState, sources: Sources) -> BeamState:
        """Drops the live hypotheses of sources whose results none of them could displace.

        Log-probabilities only fall, and no length penalty divides by more than at the maximum
        length. Diverse groups run to their end: what one selects changes what the next selects.
        """
        if self.groups > 1:
            return beam
        objectives = self._objectives(beam, sources)  # (batch, width)
        worst_result = tf.math.top_k(objectives, self.result_count).values[:, -1]  # (batch,)
        best_live = tf.reduce_max(tf.where(beam.finished, NEG_INF, beam.ranking_scores), axis=1)
        bound = best_live / self.length_divisor(sources.max_lengths + 1)
        decided = tf.logical_and(worst_result >= bound, worst_result > NEG_INF)[:, tf.newaxis]
        dropped = tf.logical_and(decided, tf.logical_not(beam.finished))
        penalized_scores = beam.penalized_scores
        if not isinstance(penalized_scores, tuple):
            penalized_scores = tf.where(dropped, NEG_INF, penalized_scores)
        return beam._replace(
            finished=tf.logical_or(beam.finished, dropped),
            scores=tf.where(dropped, NEG_INF, beam.scores),
            penalized_scores=penalized_scores,
        )

    def _objectives(self, beam: BeamState, sources: Sources) -> tf.Tensor:
        """Returns the scores with all penalties, `(batch, width)`; -inf for live hypotheses."""
        objectives = beam.ranking_scores / self.length_divisor(beam.lengths + 1)
        if self.coverage_penalty is not None:
            objectives += self.coverage_penalty(beam.coverage, sources.lengths)
        return tf.where(beam.finished, objectives, NEG_INF)

    def rank(self, beam: BeamState, sources: Sources) -> tuple[BeamState, tf.Tensor]:
        """Returns the `n_best` hypotheses, best first, without duplicates from diverse groups."""
        objectives = self._objectives(beam, sources)
        if self.groups > 1:
            objectives, slots = tf.math.top_k(objectives, self.beam_size)
            beam = gather_beams(beam, slots)
            objectives = tf.where(_is_duplicate(beam.tokens), NEG_INF, objectives)
        objectives, slots = tf.math.top_k(objectives, self.result_count)
        beam, exists = gather_beams(beam, slots), objectives > NEG_INF
        return beam._replace(scores=tf.where(exists, beam.scores, NEG_INF)), objectives


def _is_duplicate(tokens: tf.Tensor) -> tf.Tensor:
    """Returns which hypotheses `(batch, width, time)` equal an earlier one, `(batch, width)`."""
    same = tf.reduce_all(tf.equal(tokens[:, :, tf.newaxis], tokens[:, tf.newaxis]), axis=3)
    slots = tf.range(tf.shape(tokens)[1])
    return tf.reduce_any(tf.logical_and(same, slots < slots[:, tf.newaxis]), axis=2)
