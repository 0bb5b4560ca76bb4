"""Losses of tokens and classes, one value per element; the model averages them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple, TypeAlias

import numpy as np
import tensorflow as tf

from seq2seq.ops.cross_entropy import LogitStatistics, logit_statistics
from seq2seq.training.guided_alignment import GuidedAlignment

Logits: TypeAlias = tf.Tensor | Mapping[str, tf.Tensor]
"""Logits, `(..., classes)`; or the factors of their product, as `LogitFactors` returns them.

Optional entries beside the factors: a `penalty` of each element, which is added to the objective;
and, for copying tokens from the source, the inputs of `_mix_copies`. Guided alignment needs the
`alignments` of the attention and the `reference_alignments`.
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
        unlikelihood: Weight of the unlikelihood of repeating a row's earlier labels (Welleck et
            al., 2020, https://arxiv.org/abs/1908.04319); needs the factors of the logits.
        guided_alignment: The loss of the attention's weights; None for none.

    Raises:
        ValueError: If an argument is out of range.
    """

    label_smoothing: float = 0.0
    consistency: float = 0.0
    unlikelihood: float = 0.0
    guided_alignment: GuidedAlignment | None = None

    def __post_init__(self) -> None:
        _check_smoothing(self.label_smoothing)
        for name in ("consistency", "unlikelihood"):
            if (value := getattr(self, name)) < 0:
                raise ValueError(f"{name}: must be at least 0, got {value!r}")

    def __call__(
        self,
        labels: tf.Tensor,
        logits: Logits,
        weights: tf.Tensor,
        doubled: bool = False,
        step: tf.Tensor | None = None,
    ) -> ElementLoss:
        """Computes the losses, float32 `(...)`.

        Args:
            labels: Integers `(...)`.
            logits: `(..., classes)`, or their factors.
            weights: `(...)`; the loss of elements of weight 0 is undefined.
            doubled: Whether the second half of the batch repeats the first, under another dropout
                mask; needs the factors.
            step: The number of training steps before this one, for guided alignment; None where it
                does not count, as in an evaluation.
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
        if self.unlikelihood:
            repeated = _unlikelihood(labels, weights, logits, normalizer)
            objective += self.unlikelihood * repeated
        if self.guided_alignment is not None and step is not None:
            attention, reference = logits["alignments"], logits["reference_alignments"]
            objective += self.guided_alignment(attention, reference, step)
        if doubled:  # half of the mean of both divergences, for each of the two
            objective += self.consistency / 4 * tf.concat([divergence, divergence], axis=0)
        return ElementLoss(objective, nll)


def _check_smoothing(label_smoothing: float) -> None:
    if not 0 <= label_smoothing < 1:
        raise ValueError(
            f"label_smoothing: must be at least 0 and below 1, got {label_smoothing!r}"
        )


def _unlikelihood(
    labels: tf.Tensor, weights: tf.Tensor, factors: Mapping[str, tf.Tensor], normalizer: tf.Tensor
) -> tf.Tensor:
    """Returns the sum of `-log(1 - p)` over the earlier labels of each step, but for its own.

    Args:
        labels: Integers `(batch, steps)`.
        weights: 0 for padding, `(batch, steps)`.
        factors: Those of the logits.
        normalizer: The logarithm of the sum of exponentials of the logits, `(batch, steps)`.

    Returns:
        Float32 `(batch, steps)`.
    """
    features = factors["features"]
    if "embeddings" in factors:
        columns = tf.gather(factors["embeddings"], labels)  # (batch, steps, dim)
    else:
        columns = tf.transpose(tf.gather(factors["kernel"], labels, axis=1), [1, 2, 0])
    logits = tf.matmul(features, tf.cast(columns, features.dtype), transpose_b=True)
    logits = tf.cast(logits, tf.float32)  # (batch, step, step of the label)
    if "bias" in factors:
        logits += tf.gather(tf.cast(factors["bias"], tf.float32), labels)[:, tf.newaxis]
    log_p = tf.minimum(logits - normalizer[..., tf.newaxis], -1e-6)  # of rounding errors
    same = tf.equal(labels[:, :, tf.newaxis], labels[:, tf.newaxis])
    numbers = tf.range(tf.shape(labels)[1])
    is_earlier = numbers < numbers[:, tf.newaxis]
    occurred = tf.reduce_any(same & is_earlier, axis=-1)  # each label counts once
    is_candidate = is_earlier & ~same & ~occurred[:, tf.newaxis] & (weights > 0)[:, tf.newaxis]
    return tf.reduce_sum(tf.where(is_candidate, -tf.math.log(-tf.math.expm1(log_p)), 0.0), axis=-1)


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
        consistency: As that of `TokenCrossEntropy`; of several labels a row, the mean over labels.

    Raises:
        ValueError: If an argument is out of range.
    """

    label_smoothing: float = 0.0
    class_weights: Sequence[float] | None = None
    focal_gamma: float = 0.0
    consistency: float = 0.0

    def __post_init__(self) -> None:
        _check_smoothing(self.label_smoothing)
        for name in ("focal_gamma", "consistency"):
            if (value := getattr(self, name)) < 0:
                raise ValueError(f"{name}: must be at least 0, got {value!r}")

    def _divergence(self, terms: tf.Tensor) -> tf.Tensor:
        """Returns what a doubled batch adds to the objective, `(batch,)`.

        `terms` are the divergences in both directions together, `(batch / 2,)`.
        """
        return self.consistency / 4 * tf.concat([terms, terms], axis=0)


class ClassCrossEntropy(ClassLoss):
    """Cross-entropy of logits against one class a row."""

    def __call__(
        self, labels: tf.Tensor, logits: tf.Tensor, weights: tf.Tensor, doubled: bool = False
    ) -> ElementLoss:
        """Computes the losses, float32 `(batch,)`; the plain cross-entropy is reported.

        Args:
            labels: Class numbers, integers `(batch,)`.
            logits: `(batch, classes)`.
            weights: `(batch,)`, unused.
            doubled: Whether the second half of the batch repeats the first, under another dropout
                mask.
        """
        log_p = tf.nn.log_softmax(tf.cast(logits, tf.float32))
        label_log_p = tf.gather(log_p, labels, batch_dims=1)
        nll = -label_log_p
        objective = nll + self.label_smoothing * (-tf.reduce_mean(log_p, axis=-1) - nll)
        if self.focal_gamma:
            objective *= focal_factor(label_log_p, self.focal_gamma)
        if self.class_weights is not None:
            objective *= tf.gather(tf.constant(self.class_weights, tf.float32), labels)
        if doubled:
            one, other = tf.split(log_p, 2)
            terms = (tf.exp(one) - tf.exp(other)) * (one - other)
            objective += self._divergence(tf.reduce_sum(terms, axis=-1))
        return ElementLoss(objective, nll)


class MultiLabelCrossEntropy(ClassLoss):
    """The mean over classes of the cross-entropy of sigmoids, for any number of labels a row."""

    def __call__(
        self, labels: tf.Tensor, logits: tf.Tensor, weights: tf.Tensor, doubled: bool = False
    ) -> ElementLoss:
        """Computes the losses, float32 `(batch,)`; the plain cross-entropy is reported.

        Args:
            labels: 1 for each class a row has, else 0, `(batch, classes)`.
            logits: `(batch, classes)`.
            weights: `(batch,)`, unused.
            doubled: As in `ClassCrossEntropy`.
        """
        labels, logits = tf.cast(labels, tf.float32), tf.cast(logits, tf.float32)
        plain = tf.nn.sigmoid_cross_entropy_with_logits(labels, logits)
        smooth = labels + self.label_smoothing * (0.5 - labels)
        objective = tf.nn.sigmoid_cross_entropy_with_logits(smooth, logits)
        if self.focal_gamma:
            objective *= focal_factor(-plain, self.focal_gamma)
        if self.class_weights is not None:
            objective *= tf.constant(self.class_weights, tf.float32)
        objective = tf.reduce_mean(objective, -1)
        if doubled:
            one, other = tf.split(logits, 2)
            terms = (tf.sigmoid(one) - tf.sigmoid(other)) * (one - other)
            objective += self._divergence(tf.reduce_mean(terms, axis=-1))
        return ElementLoss(objective, tf.reduce_mean(plain, -1))


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
