"""Selection of the candidates that continue a beam."""

from typing import NamedTuple

import tensorflow as tf

from seq2seq.decoding.constraint_state import Lookahead
from seq2seq.decoding.constraints import END, Constraints
from seq2seq.decoding.logits_processors import NEG_INF
from seq2seq.decoding.next_token_logits import NextTokenLogits

FINISHED_PRIORITY = float("inf")
"""Finished hypotheses keep their slots: they come before all candidates that are live."""


class Candidates(NamedTuple):
    """Possible continuations of each hypothesis, `(batch, width, count)` each."""

    tokens: tf.Tensor  # int32, the next token
    log_probabilities: tf.Tensor  # float32, after processors; -inf for no candidate
    priorities: tf.Tensor  # float32, score of the extended hypothesis; -inf for no candidate
    remaining: tf.Tensor | None = None  # int32, tokens that constraints still need after it


class Selection(NamedTuple):
    """The candidates selected for the slots of a beam, `(batch, slots)` each."""

    indices: tf.Tensor  # int32, among all candidates of the source, hypothesis by hypothesis
    tokens: tf.Tensor  # int32; -1 for finished hypotheses and empty slots
    empty: tf.Tensor  # bool, slots for which there is no candidate


def add_required_candidates(
    next_token: NextTokenLogits,
    lookahead: Lookahead,
    constraints: Constraints,
    tokens: tf.Tensor,
    log_probabilities: tf.Tensor,
) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
    """Adds the tokens that missing phrases need next, however improbable.

    Extends tokens and log-probabilities from `(batch, width, count)` to `(batch, width, count +
    classes)`, and returns also the distances that remain after each.
    """
    class_tokens = tf.maximum(constraints.tokens, 0)  # (batch, classes)
    logits = tf.gather(next_token.processed, class_tokens, axis=2, batch_dims=1)
    required = tf.broadcast_to(class_tokens[:, tf.newaxis], tf.shape(logits))
    # (batch, width, classes, count) -> (batch, width, classes)
    duplicate = tf.reduce_any(tf.equal(required[..., tf.newaxis], tokens[:, :, tf.newaxis]), axis=3)
    valid = lookahead.required & ~duplicate & (next_token.forced < 0)[..., tf.newaxis]
    valid &= (constraints.tokens >= 0)[:, tf.newaxis]
    added = tf.where(valid, logits - next_token.normalizer[..., tf.newaxis], NEG_INF)
    tokens = tf.concat([tokens, required], axis=2)  # (batch, width, count + classes)
    classes = tf.gather(constraints.classes, tokens, batch_dims=1)
    after = tf.gather(lookahead.next_distances, classes, batch_dims=2)
    remaining = tf.where(tf.equal(classes, END), lookahead.distance[..., tf.newaxis], after)
    return tokens, tf.concat([log_probabilities, added], axis=2), remaining


def select_candidates(
    candidates: Candidates, beam_size: int, groups: int = 1, strength: float = 0.0
) -> Selection:
    """Selects `beam_size` candidates for each source.

    Diverse beam search (Vijayakumar et al., 2016, https://arxiv.org/abs/1610.02424): the beam is
    split into groups that select one after another, each with a penalty of `strength` for each
    earlier group's hypothesis with the same token. At the first step all groups select from the
    only hypothesis.
    """
    width, count = candidates.tokens.shape[1:]
    count = tf.shape(candidates.tokens)[2] if count is None else count
    selections: list[Selection] = []
    for group in range(groups):
        first = 0 if width == 1 else group * (width // groups)
        last = first + max(1, width // groups)
        own = Candidates(  # (batch, width / groups * count)
            *(
                None
                if field is None
                else tf.reshape(field[:, first:last], [-1, (last - first) * count])
                for field in candidates
            )
        )
        priorities = own.priorities
        for earlier in selections:
            same = tf.equal(own.tokens[..., tf.newaxis], earlier.tokens[:, tf.newaxis])
            priorities -= strength * tf.reduce_sum(tf.cast(same, tf.float32), axis=2)
        selection = _select_best(own._replace(priorities=priorities), beam_size // groups)
        selections.append(selection._replace(indices=selection.indices + first * count))
    return Selection(*(tf.concat(fields, axis=1) for fields in zip(*selections, strict=True)))


def _select_best(candidates: Candidates, slots: int) -> Selection:
    """Selects the candidates of one group, `(batch, candidates)` -> `(batch, slots)`."""
    priorities = candidates.priorities
    if candidates.remaining is not None:
        priorities = interleave_banks(priorities, candidates.remaining)
    may_be_few = priorities.shape[1] is None or priorities.shape[1] < slots
    size = tf.shape(priorities)[1]
    if may_be_few:
        missing = tf.maximum(0, slots - size)
        priorities = tf.pad(priorities, [[0, 0], [0, missing]], constant_values=NEG_INF)
    best, indices = tf.math.top_k(priorities, slots)
    if may_be_few:
        indices = tf.minimum(indices, size - 1)
    tokens = tf.gather(candidates.tokens, indices, batch_dims=1)
    live = tf.logical_and(best > NEG_INF, best < FINISHED_PRIORITY)
    return Selection(indices, tf.where(live, tokens, -1), tf.equal(best, NEG_INF))


def interleave_banks(priorities: tf.Tensor, remaining: tf.Tensor) -> tf.Tensor:
    """Reorders candidates so that each bank of constrained beam search gets slots.

    Candidates with the same number of tokens still needed form a bank (Post and Vilar, 2018,
    https://arxiv.org/abs/1804.06609). First comes the best of each bank, then the second of each,
    and so on, so that slots which one bank cannot fill go to the others. Infinite priorities stay.
    All tensors are `(batch, candidates)`.
    """
    # Pairs of candidates: (batch, candidates, candidates).
    indices = tf.range(tf.shape(priorities)[1])
    other, own = priorities[:, tf.newaxis], priorities[:, :, tf.newaxis]
    tie = tf.logical_and(tf.equal(other, own), indices < indices[:, tf.newaxis])
    before = tf.logical_or(other > own, tie)
    same_bank = tf.equal(remaining[:, tf.newaxis], remaining[:, :, tf.newaxis])
    rank = tf.reduce_sum(tf.cast(tf.logical_and(before, same_bank), tf.int32), axis=2)
    other, own = rank[:, tf.newaxis], rank[:, :, tf.newaxis]
    earlier = tf.logical_or(other < own, tf.logical_and(tf.equal(other, own), before))
    position = tf.reduce_sum(tf.cast(earlier, tf.float32), axis=2)  # (batch, candidates)
    return tf.where(tf.math.is_inf(priorities), priorities, -position)
