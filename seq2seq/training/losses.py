"""Losses per element; averaging over real elements is the model's business."""

from collections.abc import Mapping
from typing import NamedTuple

import tensorflow as tf

from seq2seq.kernels.logits import LogitStatistics, logit_statistics

Logits = tf.Tensor | Mapping[str, tf.Tensor]
"""Logits, `(..., classes)`; or what `LogitFactors` returns: the factors they are a product of."""


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

    def __call__(self, labels: tf.Tensor, logits: Logits, weights: tf.Tensor) -> ElementLoss:
        """Compares labels with logits.

        Args:
            labels: Integers `(...)`.
            logits: `(..., classes)`, or their factors.
            weights: `(...)`; elements of weight 0 are left out, and their loss may be anything.

        Returns:
            The losses, float32 `(...)`.
        """
        if isinstance(logits, Mapping):
            normalizer, label_logit, mean = _measured(tf.where(weights > 0, labels, -1), logits)
            nll = normalizer - label_logit
            uniform = normalizer - mean  # -mean(log p)
        else:
            logits = tf.cast(logits, tf.float32)
            nll = tf.nn.sparse_softmax_cross_entropy_with_logits(labels, logits)
            if self.label_smoothing == 0:
                return ElementLoss(nll, nll)
            label_logit = tf.gather(logits, labels, batch_dims=labels.shape.rank)
            uniform = nll + label_logit - tf.reduce_mean(logits, axis=-1)
        return ElementLoss(nll + self.label_smoothing * (uniform - nll), nll)


def _measured(labels: tf.Tensor, factors: Mapping[str, tf.Tensor]) -> LogitStatistics:
    """Returns the statistics of logits that are given as factors, in the shape of `labels`."""
    features, transposed = factors["features"], "embeddings" in factors
    statistics = logit_statistics(
        tf.reshape(features, (-1, features.shape[-1])),
        factors["embeddings" if transposed else "kernel"],
        factors.get("bias"),
        tf.reshape(labels, (-1,)),
        transposed=transposed,
    )
    return LogitStatistics(*(tf.reshape(each, tf.shape(labels)) for each in statistics))
