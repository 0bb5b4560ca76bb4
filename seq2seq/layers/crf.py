"""The layer of a linear-chain conditional random field, see `seq2seq.ops.crf`."""

from collections.abc import Sequence
from typing import Any

import keras
import tensorflow as tf

from seq2seq.layers.checks import positive
from seq2seq.layers.configured import ConfiguredLayer
from seq2seq.ops.crf import FORBIDDEN


@keras.saving.register_keras_serializable(package="seq2seq")
class CRF(ConfiguredLayer):
    """Learns the scores of transitions between labels; always in float32.

    Of what the layer returns, `seq2seq.ops.crf.negative_log_likelihood` is the training loss, and
    `marginals`, `viterbi` and `n_best` predict.

    Args:
        labels: The number of labels.
        allowed: Booleans `(labels + 1, labels + 1)`: whether label j may follow label i. The last
            row says what may stand first, and the last column what may stand last. `None` allows
            all.

    Example:
        >>> crf = CRF(labels=5)
        >>> scores = crf(np.zeros((2, 7, 5), np.float32))
        >>> loss = negative_log_likelihood(**scores, labels=labels, lengths=np.array([7, 3]))
        >>> best, score = viterbi(**scores, lengths=np.array([7, 3]))
    """

    def __init__(
        self, labels: int, allowed: Sequence[Sequence[bool]] | None = None, **kwargs: Any
    ) -> None:
        super().__init__(**{**kwargs, "dtype": "float32"})
        positive("labels", labels)
        self.labels = labels
        self.allowed = (
            None if allowed is None else [[bool(entry) for entry in row] for row in allowed]
        )
        if self.allowed is not None:
            _check_allowed(self.allowed, labels)

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        """Makes the transitions; they start at 0, as if labels were independent."""
        if input_shape[-1] != self.labels:
            raise ValueError(f"labels: {self.labels}, but the logits are of {input_shape[-1]}")
        size = self.labels + 1
        self.transitions = self.add_weight(
            name="transitions", shape=(size, size), initializer="zeros"
        )

    def call(self, logits: tf.Tensor) -> dict[str, tf.Tensor]:
        """Returns `logits` `(batch, steps, labels)` and `transitions`, both float32."""
        transitions = tf.convert_to_tensor(self.transitions)
        return {
            "logits": tf.cast(logits, tf.float32),
            "transitions": constrained(transitions, self.allowed),
        }


def constrained(transitions: tf.Tensor, allowed: Sequence[Sequence[bool]] | None) -> tf.Tensor:
    """Returns transitions, `(labels + 1, labels + 1)`, with `FORBIDDEN` where not allowed."""
    if allowed is None:
        return transitions
    return tf.where(tf.constant(allowed, tf.bool), transitions, FORBIDDEN)


def _check_allowed(allowed: list[list[bool]], labels: int) -> None:
    size = labels + 1
    if len(allowed) != size or any(len(row) != size for row in allowed):
        raise ValueError(
            f"allowed: must be ({size}, {size}) for {labels} labels and the boundary, got "
            f"({len(allowed)}, {len(allowed[0]) if allowed else 0})"
        )
    first = {label for label in range(labels) if allowed[-1][label]}
    last = {label for label in range(labels) if allowed[label][-1]}
    if not first or not last:
        raise ValueError("allowed: no label may stand first, or none last")
