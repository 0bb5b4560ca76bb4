"""Losses per element; averaging over real elements is the model's business."""

from collections.abc import Mapping
from typing import NamedTuple, TypeAlias

import tensorflow as tf

from seq2seq.ops.cross_entropy import LogitStatistics, logit_statistics

Logits: TypeAlias = tf.Tensor | Mapping[str, tf.Tensor]
"""Logits, `(..., classes)`; or what `LogitFactors` returns: the factors they are a product of.

Beside the factors there may be a `penalty` of each element, which is added to the objective; and
where tokens are copied from the source, what `_with_copies` reads.
"""


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
        consistency: Weight of the divergence between what the model says of one row under two
            dropout masks (R-Drop, Liang et al., 2021, https://arxiv.org/abs/2106.14448).

    Raises:
        ValueError: If an argument is outside.
    """

    def __init__(self, label_smoothing: float = 0.0, consistency: float = 0.0) -> None:
        if not 0 <= label_smoothing < 1:
            raise ValueError(
                f"label_smoothing: must be at least 0 and below 1, got {label_smoothing!r}"
            )
        if consistency < 0:
            raise ValueError(f"consistency: must be at least 0, got {consistency!r}")
        self.label_smoothing = label_smoothing
        self.consistency = consistency

    def __call__(
        self, labels: tf.Tensor, logits: Logits, weights: tf.Tensor, twice: bool = False
    ) -> ElementLoss:
        """Compares labels with logits.

        Args:
            labels: Integers `(...)`.
            logits: `(..., classes)`, or their factors.
            weights: `(...)`; elements of weight 0 are left out, and their loss may be anything.
            twice: Whether the second half of the batch is the first once more, under another
                dropout mask; needs the factors.

        Returns:
            The losses, float32 `(...)`.
        """
        if isinstance(logits, Mapping):
            normalizer, label_logit, mean, divergence = _measured(
                tf.where(weights > 0, labels, -1), logits, twice
            )
            nll = normalizer - label_logit
            uniform = normalizer - mean  # -mean(log p)
            if "copied" in logits:
                nll, uniform = _with_copies(labels, nll, uniform, logits)
        else:
            logits = tf.cast(logits, tf.float32)
            nll = tf.nn.sparse_softmax_cross_entropy_with_logits(labels, logits)
            if self.label_smoothing == 0:
                return ElementLoss(nll, nll)
            label_logit = tf.gather(logits, labels, batch_dims=labels.shape.rank)
            uniform = nll + label_logit - tf.reduce_mean(logits, axis=-1)
        objective = nll + self.label_smoothing * (uniform - nll)
        if isinstance(logits, Mapping) and "penalty" in logits:
            objective += logits["penalty"]
        if twice:  # half of the mean of both divergences, for each of the two
            objective += self.consistency / 4 * tf.concat([divergence, divergence], axis=0)
        return ElementLoss(objective, nll)


def _with_copies(
    labels: tf.Tensor, nll: tf.Tensor, uniform: tf.Tensor, parts: Mapping[str, tf.Tensor]
) -> tuple[tf.Tensor, tf.Tensor]:
    """Returns the losses of a mixture of generated and copied tokens.

    Args:
        labels: Integers `(batch, steps)`.
        nll: What generating alone loses, `(batch, steps)`.
        uniform: The same for the mean over all classes.
        parts: The logarithms of the shares that are `generated` and `copied`, `(batch, steps)`; the
            `alignments`, `(batch, steps, source_length)`; the source's `tokens`, `(batch,
            source_length)`.

    Returns:
        Both losses. The mean over all classes leaves out what is copied, a few classes of all.
    """
    tokens = tf.cast(parts["tokens"], labels.dtype)
    here = tf.equal(tokens[:, tf.newaxis], labels[..., tf.newaxis])
    weight = tf.reduce_sum(tf.where(here, parts["alignments"], 0.0), axis=-1)
    copied = parts["copied"] + tf.math.log(tf.maximum(weight, 1e-30))
    generated = parts["generated"] - nll
    return -generated - tf.nn.softplus(copied - generated), uniform - parts["generated"]


def _measured(labels: tf.Tensor, factors: Mapping[str, tf.Tensor], pairs: bool) -> LogitStatistics:
    """Returns the statistics of logits that are given as factors, in the shape of `labels`."""
    features, transposed = factors["features"], "embeddings" in factors
    statistics = logit_statistics(
        tf.reshape(features, (-1, features.shape[-1])),
        factors["embeddings" if transposed else "kernel"],
        factors.get("bias"),
        tf.reshape(labels, (-1,)),
        transposed=transposed,
        pairs=pairs,
    )
    return LogitStatistics(
        *(
            None if each is None else tf.reshape(each, (-1, *tf.unstack(tf.shape(labels))[1:]))
            for each in statistics
        )
    )
