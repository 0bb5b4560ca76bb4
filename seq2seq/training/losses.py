"""Losses of tokens and classes, one value per element; the model averages them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple, TypeAlias

import numpy as np
import tensorflow as tf

from seq2seq.ops.cross_entropy import LogitStatistics, logit_statistics

Logits: TypeAlias = tf.Tensor | Mapping[str, tf.Tensor]
"""Logits, `(..., classes)`; or the factors of their product, as `LogitFactors` returns them.

Optional entries beside the factors: a `penalty` of each element, which is added to the objective;
and, for copying tokens from the source, the inputs of `_mix_copies`.
"""


class ElementLoss(NamedTuple):
    """One value for each label, e.g. `(batch, target_length)`.

    Attributes:
        objective: The loss that training minimises.
        reported: The logged loss, comparable between runs: without label smoothing.
    """

    objective: tf.Tensor
    reported: tf.Tensor


@dataclass(eq=False)
class TokenCrossEntropy:
    """Cross-entropy of logits against label ids, with label smoothing.

    Smoothing mixes the label with the uniform distribution (Szegedy et al., 2016,
    https://arxiv.org/abs/1512.00567), without one-hot targets.

    Args:
        label_smoothing: Share of probability given to the uniform distribution, in [0, 1).
        consistency: Weight of the divergence between the model's distributions under two dropout
            masks (R-Drop, Liang et al., 2021, https://arxiv.org/abs/2106.14448).

    Raises:
        ValueError: If an argument is out of range.
    """

    label_smoothing: float = 0.0
    consistency: float = 0.0

    def __post_init__(self) -> None:
        _check_smoothing(self.label_smoothing)
        if self.consistency < 0:
            raise ValueError(f"consistency: must be at least 0, got {self.consistency!r}")

    def __call__(
        self, labels: tf.Tensor, logits: Logits, weights: tf.Tensor, doubled: bool = False
    ) -> ElementLoss:
        """Computes the losses, float32 `(...)`.

        Args:
            labels: Integers `(...)`.
            logits: `(..., classes)`, or their factors.
            weights: `(...)`; the loss of elements of weight 0 is undefined.
            doubled: Whether the second half of the batch repeats the first, under another dropout
                mask; needs the factors.
        """
        if isinstance(logits, Mapping):
            normalizer, label_logit, mean, divergence = _statistics(
                tf.where(weights > 0, labels, -1), logits, doubled
            )
            nll = normalizer - label_logit
            uniform = normalizer - mean  # -mean(log p)
            if "copied" in logits:
                nll, uniform = _mix_copies(labels, nll, uniform, logits)
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
        if doubled:  # half of the mean of both divergences, for each of the two
            objective += self.consistency / 4 * tf.concat([divergence, divergence], axis=0)
        return ElementLoss(objective, nll)


def _check_smoothing(label_smoothing: float) -> None:
    if not 0 <= label_smoothing < 1:
        raise ValueError(
            f"label_smoothing: must be at least 0 and below 1, got {label_smoothing!r}"
        )


def _mix_copies(
    labels: tf.Tensor, nll: tf.Tensor, uniform: tf.Tensor, parts: Mapping[str, tf.Tensor]
) -> tuple[tf.Tensor, tf.Tensor]:
    """Returns the losses of a mixture of generated and copied tokens.

    Args:
        labels: Integers `(batch, steps)`.
        nll: Loss of generation alone, `(batch, steps)`.
        uniform: Its mean over all classes, `(batch, steps)`.
        parts: Log-probabilities of `generated` and `copied` tokens, `(batch, steps)`; `alignments`,
            `(batch, steps, source_length)`; source `tokens`, `(batch, source_length)`.

    Returns:
        Both losses. The mean over all classes ignores copied tokens, which are a few of them.
    """
    tokens = tf.cast(parts["tokens"], labels.dtype)
    matches = tf.equal(tokens[:, tf.newaxis], labels[..., tf.newaxis])
    weight = tf.reduce_sum(tf.where(matches, parts["alignments"], 0.0), axis=-1)
    copied = parts["copied"] + tf.math.log(tf.maximum(weight, 1e-30))
    generated = parts["generated"] - nll
    return -generated - tf.nn.softplus(copied - generated), uniform - parts["generated"]


def _statistics(
    labels: tf.Tensor, factors: Mapping[str, tf.Tensor], pairs: bool
) -> LogitStatistics:
    """Returns the statistics of factored logits, in the shape of `labels`."""
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
            None if field is None else tf.reshape(field, (-1, *tf.unstack(tf.shape(labels))[1:]))
            for field in statistics
        )
    )


@dataclass(eq=False)
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

    label_smoothing: float = 0.0
    class_weights: Sequence[float] | None = None
    focal_gamma: float = 0.0

    def __post_init__(self) -> None:
        _check_smoothing(self.label_smoothing)
        if self.focal_gamma < 0:
            raise ValueError(f"focal_gamma: must be at least 0, got {self.focal_gamma!r}")


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
