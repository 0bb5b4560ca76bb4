"""The logits of a step: the model's own, and after length limits, constraints and processors."""

from typing import Any, NamedTuple

import tensorflow as tf

from seq2seq.decoding.beam_state import BeamState, OptionalTensor
from seq2seq.decoding.constraint_state import (
    Lookahead,
    class_to_token_mask,
    look_ahead,
    replace_end_with_required,
)
from seq2seq.decoding.constraints import Constraints
from seq2seq.decoding.logits_processors import LogitsProcessor, all_forbidden
from seq2seq.ops.top_k import log_sum_exp


class Sources(NamedTuple):
    """What is constant for each source during a search; every tensor has `batch` rows."""

    lengths: tf.Tensor  # int32 (batch,), source tokens
    max_lengths: tf.Tensor  # int32 (batch,), maximum length of a hypothesis
    min_lengths: OptionalTensor  # int32 (batch,), minimum length of a hypothesis
    memory: tuple[Any, ...]  # the step's third argument, a tuple of one nest; or ()
    noise: OptionalTensor = ()  # float32 (batch, width, steps), random numbers
    constraints: Constraints | tuple[()] = ()


class NextTokenLogits(NamedTuple):
    """What a strategy selects the next tokens from."""

    logits: tf.Tensor  # float32 (batch, width, vocabulary_size), the model's own
    processed: tf.Tensor  # the same after all processors; -inf for forbidden tokens
    normalizer: tf.Tensor  # float32 (batch, width); logits minus this are log-probabilities
    forced: tf.Tensor  # int32 (batch, width), the only possible token, or -1
    beam: BeamState
    sources: Sources
    time: tf.Tensor  # int32 scalar, tokens that the hypotheses have
    lookahead: Lookahead | None = None  # None without constraints
    peaks: tf.Tensor | None = None  # of unprocessed logits, from a kernel; makes `top_k` faster

    def log_probabilities(self, tokens: tf.Tensor) -> tf.Tensor:
        """Returns the model's log-probabilities of tokens, both `(batch, width)`."""
        return tf.gather(self.logits, tokens, batch_dims=2) - self.normalizer


def process_logits(
    logits: tf.Tensor,
    beam: BeamState,
    sources: Sources,
    time: tf.Tensor,
    end: int,
    processor: LogitsProcessor,
    required_replaces_end: bool,
) -> NextTokenLogits:
    """Applies length limits, constraints and logits processors.

    With `required_replaces_end`, required tokens that are missing get the end token's probability.
    """
    logits = tf.cast(logits, tf.float32)
    normalizer, peaks = log_sum_exp(logits)
    constraints, min_lengths = sources.constraints, sources.min_lengths
    permitted = required = lookahead = None
    if isinstance(constraints, Constraints):
        lookahead = look_ahead(
            constraints, beam.constraint_state, time, sources.max_lengths, min_lengths
        )
        permitted = class_to_token_mask(lookahead.permitted, constraints)
        required = class_to_token_mask(lookahead.required, constraints)
    elif not isinstance(min_lengths, tuple):
        is_end = tf.equal(tf.range(tf.shape(logits)[2]), end)  # (vocabulary_size,)
        too_short = (time < min_lengths)[:, tf.newaxis, tf.newaxis]  # (batch, 1, 1)
        permitted = tf.logical_not(tf.logical_and(too_short, is_end))
    processed = processor(logits, normalizer, beam.tokens[:, :, 1:], permitted, required)
    if required_replaces_end and lookahead is not None:
        processed = replace_end_with_required(processed, logits[..., end], lookahead, required)

    forced = _prefix_token(sources, time)
    if permitted is not None:
        forced = tf.where(tf.logical_and(forced < 0, all_forbidden(processed)), end, forced)
    must_end = tf.logical_or(beam.finished, time >= sources.max_lengths[:, tf.newaxis])
    forced = tf.where(must_end, end, forced)  # (batch, width)
    peaks = peaks if processed is logits else None
    return NextTokenLogits(
        logits, processed, normalizer, forced, beam, sources, time, lookahead, peaks
    )


def _prefix_token(sources: Sources, time: tf.Tensor) -> tf.Tensor:
    """Returns the token of each row's prefix, or -1; broadcasts to `(batch, width)`."""
    if not isinstance(sources.constraints, Constraints):
        return tf.constant([[-1]])
    prefixes = tf.pad(sources.constraints.prefixes, [[0, 0], [0, 1]], constant_values=-1)
    last = tf.shape(prefixes)[1] - 1
    return tf.gather(prefixes, tf.minimum(time, last), axis=1)[:, tf.newaxis]
