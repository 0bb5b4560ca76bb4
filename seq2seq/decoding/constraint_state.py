"""The state of the constraint automaton during a search: phrases seen (as bits) and node.

States are int32 `(batch, width, 2)`.
"""

from typing import NamedTuple

import tensorflow as tf

from seq2seq.decoding.beam_state import OptionalTensor
from seq2seq.decoding.constraints import END, Constraints
from seq2seq.decoding.logits_processors import NEG_INF
from seq2seq.ops.top_k import log_sum_exp


class Lookahead(NamedTuple):
    """What may come next; a distance is the fewest tokens that satisfy all required phrases."""

    distance: tf.Tensor  # int32 (batch, width), from the current state
    restart_distance: tf.Tensor  # int32 (batch, width), from the same without phrases begun
    next_distances: tf.Tensor  # int32 (batch, width, classes), after a token of each class
    permitted: tf.Tensor  # bool (batch, width, classes), the classes that may come next

    @property
    def required(self) -> tf.Tensor:
        """Permitted classes that lower the distance, bool `(batch, width, classes)`."""
        return tf.logical_and(self.permitted, self.next_distances < self.distance[..., tf.newaxis])


def look_ahead(
    constraints: Constraints,
    state: tf.Tensor,
    time: tf.Tensor,
    max_lengths: tf.Tensor,
    min_lengths: OptionalTensor,
) -> Lookahead:
    """Returns what may come next so that all missing phrases fit into the maximum length."""
    seen, node = tf.unstack(state, axis=-1)  # (batch, width)
    next_nodes = tf.gather(constraints.transitions, node, batch_dims=1)  # (batch, width, classes)
    completed = tf.gather(constraints.completes, next_nodes, batch_dims=1)
    distance = _distances(constraints, seen, node)
    next_distances = _distances(
        constraints, tf.bitwise.bitwise_or(seen[..., tf.newaxis], completed), next_nodes
    )
    may_end = tf.equal(distance, 0)
    if not isinstance(min_lengths, tuple):
        may_end = tf.logical_and(may_end, (time >= min_lengths)[:, tf.newaxis])
    is_end = tf.equal(tf.range(tf.shape(next_distances)[2]), END)
    room = (max_lengths - time - 1)[:, tf.newaxis, tf.newaxis]
    permitted = tf.where(is_end, may_end[..., tf.newaxis], next_distances <= room)
    restart_distance = _distances(constraints, seen, tf.zeros_like(node))
    return Lookahead(distance, restart_distance, next_distances, permitted)


def _distances(constraints: Constraints, seen: tf.Tensor, node: tf.Tensor) -> tf.Tensor:
    return tf.gather_nd(constraints.distances, tf.stack([seen, node], axis=-1), batch_dims=1)


def advance_constraints(constraints: Constraints, state: tf.Tensor, tokens: tf.Tensor) -> tf.Tensor:
    """Returns the state `(batch, width, 2)` after one more token, `(batch, width)`."""
    seen, node = tf.unstack(state, axis=-1)
    classes = tf.gather(constraints.classes, tokens, batch_dims=1)
    node = tf.gather_nd(constraints.transitions, tf.stack([node, classes], axis=-1), batch_dims=1)
    completed = tf.gather(constraints.completes, node, batch_dims=1)
    return tf.stack([tf.bitwise.bitwise_or(seen, completed), node], axis=-1)


def class_to_token_mask(mask: tf.Tensor, constraints: Constraints) -> tf.Tensor:
    """Expands `(batch, width, classes)` to all tokens, `(batch, width, vocabulary_size)`."""
    return tf.gather(mask, constraints.classes, axis=2, batch_dims=1)


def replace_end_with_required(
    logits: tf.Tensor, end_logits: tf.Tensor, lookahead: Lookahead, required: tf.Tensor
) -> tf.Tensor:
    """Gives the end token's probability to required tokens, as long as phrases are missing.

    So a search with a single hypothesis produces them where the model would have ended, not only at
    the maximum length. A phrase that has begun is completed.

    Args:
        logits: float32 `(batch, width, vocabulary_size)`, processed.
        end_logits: float32 `(batch, width)`, the model's own for the end token.
        lookahead: What may come next.
        required: bool, like `logits`: tokens that lower the distance.
    """
    candidates = tf.where(required, logits, NEG_INF)
    share = candidates - log_sum_exp(candidates)[0][..., tf.newaxis]
    raised = tf.stack([candidates, share + end_logits[..., tf.newaxis]])
    begun = (lookahead.distance < lookahead.restart_distance)[..., tf.newaxis]
    others = tf.where(begun, NEG_INF, logits)
    replaced = tf.where(required, tf.reduce_logsumexp(raised, axis=0), others)
    return tf.where((lookahead.distance > 0)[..., tf.newaxis], replaced, logits)
