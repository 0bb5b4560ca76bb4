"""Walking the constraints' automaton inside the loop."""

from typing import NamedTuple

import tensorflow as tf

from seq2seq.decoding.constraints import END, Constraints
from seq2seq.decoding.partial import Maybe
from seq2seq.decoding.rules import NEVER
from seq2seq.ops.top_k import log_sum_exp


class Outlook(NamedTuple):
    """What the constraints say of the next token; a distance is the fewest tokens still needed.

    Attributes:
        distance: int32 `(batch, width)`, now.
        restart: int32 `(batch, width)`, now, if phrases that have only begun did not count.
        after: int32 `(batch, width, classes)`, after a token of each class.
        permitted: bool `(batch, width, classes)`, the classes that may come next.
    """

    distance: tf.Tensor
    restart: tf.Tensor
    after: tf.Tensor
    permitted: tf.Tensor

    @property
    def closer(self) -> tf.Tensor:
        """Permitted classes that bring missing phrases closer, bool `(batch, width, classes)`."""
        return tf.logical_and(self.permitted, self.after < self.distance[..., tf.newaxis])


def look_ahead(
    constraints: Constraints,
    progress: tf.Tensor,
    time: tf.Tensor,
    longest: tf.Tensor,
    shortest: Maybe,
) -> Outlook:
    """Returns what may follow, so that all that is missing fits into the limit.

    Args:
        constraints: The constraints.
        progress: int32 `(batch, width, 2)`, phrases seen (as bits) and node of each hypothesis.
        time: int32 scalar, tokens so far.
        longest: int32 `(batch,)`, tokens allowed.
        shortest: int32 `(batch,)`, tokens demanded, or `()`.
    """
    seen, node = tf.unstack(progress, axis=-1)
    following = tf.gather(constraints.transitions, node, batch_dims=1)
    completed = tf.gather(constraints.completes, following, batch_dims=1)
    distance = _distances(constraints, seen, node)
    after = _distances(
        constraints, tf.bitwise.bitwise_or(seen[..., tf.newaxis], completed), following
    )
    may_end = tf.equal(distance, 0)
    if not isinstance(shortest, tuple):
        may_end = tf.logical_and(may_end, (time >= shortest)[:, tf.newaxis])
    is_end = tf.equal(tf.range(tf.shape(after)[2]), END)
    room = (longest - time - 1)[:, tf.newaxis, tf.newaxis]
    permitted = tf.where(is_end, may_end[..., tf.newaxis], after <= room)
    return Outlook(distance, _distances(constraints, seen, tf.zeros_like(node)), after, permitted)


def _distances(constraints: Constraints, seen: tf.Tensor, node: tf.Tensor) -> tf.Tensor:
    return tf.gather_nd(constraints.distances, tf.stack([seen, node], axis=-1), batch_dims=1)


def moved(constraints: Constraints, progress: tf.Tensor, tokens: tf.Tensor) -> tf.Tensor:
    """Returns the progress after one more token of each hypothesis, `(batch, width)`."""
    seen, node = tf.unstack(progress, axis=-1)
    classes = tf.gather(constraints.classes, tokens, batch_dims=1)
    place = tf.stack([node, classes], axis=-1)
    node = tf.gather_nd(constraints.transitions, place, batch_dims=1)
    completed = tf.gather(constraints.completes, node, batch_dims=1)
    return tf.stack([tf.bitwise.bitwise_or(seen, completed), node], axis=-1)


def by_token(classes_say: tf.Tensor, constraints: Constraints) -> tf.Tensor:
    """Spreads `(batch, width, classes)` to all tokens, `(batch, width, vocabulary_size)`."""
    return tf.gather(classes_say, constraints.classes, axis=2, batch_dims=1)


def missing_instead_of_end(
    values: tf.Tensor, end_logits: tf.Tensor, ahead: Outlook, closer: tf.Tensor
) -> tf.Tensor:
    """Gives the end token's probability to missing words, as long as there are any.

    So a search with a single hypothesis says them where the model would have ended, not at the very
    limit. A phrase once begun is finished.

    Args:
        values: float32 `(batch, width, vocabulary_size)`, the logits under the rules.
        end_logits: float32 `(batch, width)`, the model's own for the end token.
        ahead: What the constraints say.
        closer: bool, like `values`: the tokens that bring missing words closer.
    """
    candidates = tf.where(closer, values, NEVER)
    share = candidates - log_sum_exp(candidates)[0][..., tf.newaxis]
    raised = tf.stack([candidates, share + end_logits[..., tf.newaxis]])
    begun = (ahead.distance < ahead.restart)[..., tf.newaxis]
    others = tf.where(begun, NEVER, values)
    chosen = tf.where(closer, tf.reduce_logsumexp(raised, axis=0), others)
    return tf.where((ahead.distance > 0)[..., tf.newaxis], chosen, values)
