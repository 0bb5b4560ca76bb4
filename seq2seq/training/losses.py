"""Losses per element; averaging over real elements is the model's business."""

from typing import NamedTuple

import tensorflow as tf


class ElementLoss(NamedTuple):
    """One value for each label, e.g. `(batch, target_length)`.

    Attributes:
        objective: What training minimises.
        reported: What is logged, comparable between runs: here without label smoothing.
    """

    objective: tf.Tensor
    reported: tf.Tensor


class TokenCrossEntropy:
    """Cross-entropy of logits against label ids, with label smoothing.

    Smoothing mixes the label with the uniform distribution (Szegedy et al., 2016,
    https://arxiv.org/abs/1512.00567) without making one-hot targets.

    Args:
        label_smoothing: Share of probability given to the uniform distribution, in [0, 1).

    Raises:
        ValueError: If `label_smoothing` is outside.
    """

    def __init__(self, label_smoothing: float = 0.0) -> None:
        if not 0 <= label_smoothing < 1:
            raise ValueError(
                f"label_smoothing: must be at least 0 and below 1, got {label_smoothing!r}"
            )
        self.label_smoothing = label_smoothing

    def __call__(self, labels: tf.Tensor, logits: tf.Tensor) -> ElementLoss:
        """Compares int labels `(...)` with logits `(..., vocabulary_size)`."""
        logits = tf.cast(logits, tf.float32)
        nll = tf.nn.sparse_softmax_cross_entropy_with_logits(labels, logits)
        if self.label_smoothing == 0:
            return ElementLoss(nll, nll)
        # -mean(log p) = nll + logit[label] - mean(logits), since both share the log-sum-exp.
        label_logits = tf.gather(logits, labels, batch_dims=labels.shape.rank)
        uniform = nll + label_logits - tf.reduce_mean(logits, axis=-1)
        return ElementLoss(nll + self.label_smoothing * (uniform - nll), nll)
