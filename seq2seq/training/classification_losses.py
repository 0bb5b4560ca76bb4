"""Losses of classes: cross-entropy with smoothing, class weights and focus on what is hard."""

from collections.abc import Mapping, Sequence

import numpy as np
import tensorflow as tf

from seq2seq.training.losses import ElementLoss


class ClassLoss:
    """What both losses can be told.

    Args:
        label_smoothing: Share of probability given to the uniform distribution, in [0, 1): over the
            classes, or with several labels over 0 and 1 of each.
        class_weights: The weight of each class in training, `(classes,)`; null weighs all alike.
        focal_gamma: How much what is classified well counts less: the loss is multiplied with
            `(1 - p) ** focal_gamma` (Lin et al., 2017, https://arxiv.org/abs/1708.02002).

    Raises:
        ValueError: If an argument is impossible.
    """

    def __init__(
        self,
        label_smoothing: float = 0.0,
        class_weights: Sequence[float] | None = None,
        focal_gamma: float = 0.0,
    ) -> None:
        if not 0 <= label_smoothing < 1:
            raise ValueError(
                f"label_smoothing: must be at least 0 and below 1, got {label_smoothing!r}"
            )
        if focal_gamma < 0:
            raise ValueError(f"focal_gamma: must be at least 0, got {focal_gamma!r}")
        self.label_smoothing, self.focal_gamma = label_smoothing, focal_gamma
        self.class_weights = None if class_weights is None else list(class_weights)


class ClassCrossEntropy(ClassLoss):
    """Cross-entropy of logits against one class a row."""

    def __call__(self, labels: tf.Tensor, logits: tf.Tensor, weights: tf.Tensor) -> ElementLoss:
        """Compares classes with logits.

        Args:
            labels: Class numbers, integers `(batch,)`.
            logits: `(batch, classes)`.
            weights: `(batch,)`, not used here.

        Returns:
            The losses, float32 `(batch,)`; what is reported is the cross-entropy by itself.
        """
        log_p = tf.nn.log_softmax(tf.cast(logits, tf.float32))
        label_log_p = tf.gather(log_p, labels, batch_dims=1)
        nll = -label_log_p
        objective = nll + self.label_smoothing * (-tf.reduce_mean(log_p, axis=-1) - nll)
        if self.focal_gamma:
            objective *= focus(label_log_p, self.focal_gamma)
        if self.class_weights is not None:
            objective *= tf.gather(tf.constant(self.class_weights, tf.float32), labels)
        return ElementLoss(objective, nll)


class MultiLabelCrossEntropy(ClassLoss):
    """The mean over classes of the cross-entropy of sigmoids, for any number of labels a row."""

    def __call__(self, labels: tf.Tensor, logits: tf.Tensor, weights: tf.Tensor) -> ElementLoss:
        """Compares labels with logits.

        Args:
            labels: 1 for each class a row has, else 0, `(batch, classes)`.
            logits: `(batch, classes)`.
            weights: `(batch,)`, not used here.

        Returns:
            The losses, float32 `(batch,)`; what is reported is the cross-entropy by itself.
        """
        labels, logits = tf.cast(labels, tf.float32), tf.cast(logits, tf.float32)
        plain = tf.nn.sigmoid_cross_entropy_with_logits(labels, logits)
        smooth = labels + self.label_smoothing * (0.5 - labels)
        objective = tf.nn.sigmoid_cross_entropy_with_logits(smooth, logits)
        if self.focal_gamma:
            objective *= focus(-plain, self.focal_gamma)
        if self.class_weights is not None:
            objective *= tf.constant(self.class_weights, tf.float32)
        return ElementLoss(tf.reduce_mean(objective, -1), tf.reduce_mean(plain, -1))


def focus(log_p: tf.Tensor, gamma: float) -> tf.Tensor:
    """Returns `(1 - p) ** gamma` for the logarithm of p, with a finite gradient everywhere."""
    return tf.maximum(-tf.math.expm1(log_p), 1e-7) ** gamma


def weights_by_class(
    wanted: str | Mapping[str, float] | None, names: Sequence[str], counts: Sequence[int]
) -> list[float] | None:
    """Returns the weight of each class.

    Args:
        wanted: `balanced`, so that all classes count the same in sum and a row 1 on average;
            weights by name, 1 for those not named; or null.
        names: The name of each class.
        counts: How many training records each has.

    Raises:
        ValueError: If a weight is not above 0, or named for a class that there is not.
    """
    if wanted is None:
        return None
    if isinstance(wanted, str):
        if wanted != "balanced":
            raise ValueError(
                f"class_weights: must be balanced, weights by class, or null: {wanted}"
            )
        return list(np.sum(counts) / (len(counts) * np.maximum(counts, 1)))
    given = {str(name): weight for name, weight in wanted.items()}
    for name, weight in given.items():
        if name not in names:
            raise ValueError(f"class_weights: there is no class {name!r}, only {', '.join(names)}")
        if not weight > 0:
            raise ValueError(f"class_weights.{name}: must be above 0, got {weight!r}")
    return [given.get(name, 1.0) for name in names]
