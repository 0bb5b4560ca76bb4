"""Classification losses: cross-entropy with label smoothing, class weights and focal loss."""

from collections.abc import Mapping, Sequence

import numpy as np
import tensorflow as tf

from seq2seq.training.losses import ElementLoss


class ClassLoss:
    """Base of both losses.

    Args:
        label_smoothing: Share of probability given to the uniform distribution, in [0, 1): over the
            classes, or over 0 and 1 of each label.
        class_weights: The weight of each class in training, `(classes,)`; null for equal weights.
        focal_gamma: Exponent of the focal loss, which is multiplied with `(1 - p) ** focal_gamma`
            (Lin et al., 2017, https://arxiv.org/abs/1708.02002).

    Raises:
        ValueError: If an argument is out of range.
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
        """Computes the losses, float32 `(batch,)`; the plain cross-entropy is reported.

        Args:
            labels: Class numbers, integers `(batch,)`.
            logits: `(batch, classes)`.
            weights: `(batch,)`, unused.
        """
        log_p = tf.nn.log_softmax(tf.cast(logits, tf.float32))
        label_log_p = tf.gather(log_p, labels, batch_dims=1)
        nll = -label_log_p
        objective = nll + self.label_smoothing * (-tf.reduce_mean(log_p, axis=-1) - nll)
        if self.focal_gamma:
            objective *= focal_factor(label_log_p, self.focal_gamma)
        if self.class_weights is not None:
            objective *= tf.gather(tf.constant(self.class_weights, tf.float32), labels)
        return ElementLoss(objective, nll)


class MultiLabelCrossEntropy(ClassLoss):
    """The mean over classes of the cross-entropy of sigmoids, for any number of labels a row."""

    def __call__(self, labels: tf.Tensor, logits: tf.Tensor, weights: tf.Tensor) -> ElementLoss:
        """Computes the losses, float32 `(batch,)`; the plain cross-entropy is reported.

        Args:
            labels: 1 for each class a row has, else 0, `(batch, classes)`.
            logits: `(batch, classes)`.
            weights: `(batch,)`, unused.
        """
        labels, logits = tf.cast(labels, tf.float32), tf.cast(logits, tf.float32)
        plain = tf.nn.sigmoid_cross_entropy_with_logits(labels, logits)
        smooth = labels + self.label_smoothing * (0.5 - labels)
        objective = tf.nn.sigmoid_cross_entropy_with_logits(smooth, logits)
        if self.focal_gamma:
            objective *= focal_factor(-plain, self.focal_gamma)
        if self.class_weights is not None:
            objective *= tf.constant(self.class_weights, tf.float32)
        return ElementLoss(tf.reduce_mean(objective, -1), tf.reduce_mean(plain, -1))


def focal_factor(log_p: tf.Tensor, gamma: float) -> tf.Tensor:
    """Returns `(1 - p) ** gamma` for log p, with a finite gradient everywhere."""
    return tf.maximum(-tf.math.expm1(log_p), 1e-7) ** gamma


def weights_by_class(
    class_weights: str | Mapping[str, float] | None, names: Sequence[str], counts: Sequence[int]
) -> list[float] | None:
    """Returns the weight of each class.

    Args:
        class_weights: `balanced`, so that all classes count the same in sum and a row 1 on
            average; weights by name, 1 for other names; or null.
        names: The names of the classes.
        counts: The number of training records of each class.

    Raises:
        ValueError: If a weight is not above 0, or its class is unknown.
    """
    if class_weights is None:
        return None
    if isinstance(class_weights, str):
        if class_weights != "balanced":
            raise ValueError(
                f"class_weights: must be balanced, weights by class, or null: {class_weights}"
            )
        return list(np.sum(counts) / (len(counts) * np.maximum(counts, 1)))
    by_name = {str(name): weight for name, weight in class_weights.items()}
    for name, weight in by_name.items():
        if name not in names:
            raise ValueError(f"class_weights: there is no class {name!r}, only {', '.join(names)}")
        if not weight > 0:
            raise ValueError(f"class_weights.{name}: must be above 0, got {weight!r}")
    return [by_name.get(name, 1.0) for name in names]
