"""Cross-entropy over a large vocabulary: statistics of logits that are never returned."""

from functools import partial
from typing import NamedTuple

import tensorflow as tf

from seq2seq.ops.compile import library
from seq2seq.ops.differentiable import Gradient, Tensors, differentiable
from seq2seq.ops.dispatch import gradients_recorded, usable


class LogitStatistics(NamedTuple):
    """Float32 `(rows,)` each.

    Attributes:
        log_normalizer: The logarithm of the sum of the exponentials of a row's logits.
        label_logit: The logit of the row's label.
        mean_logit: The mean of the row's logits.
        divergence: `(rows / 2,)`, or `None` where rows are no pairs: KL(p || q) + KL(q || p) of the
            distributions p and q of a pair.
    """

    log_normalizer: tf.Tensor
    label_logit: tf.Tensor
    mean_logit: tf.Tensor
    divergence: tf.Tensor | None = None


def logit_statistics(
    features: tf.Tensor,
    kernel: tf.Tensor,
    bias: tf.Tensor | None,
    labels: tf.Tensor,
    *,
    transposed: bool = False,
    pairs: bool = False,
    training: bool = True,
) -> LogitStatistics:
    """Computes what a cross-entropy needs of `features @ kernel + bias`, row by row.

    The logits exist once, as float32. In the backward pass their memory becomes that of their
    gradients, so that neither probabilities nor one-hot labels are ever made.

    Args:
        features: `(rows, dim)`, float32 or bfloat16.
        kernel: `(dim, classes)`, or `(classes, dim)` if `transposed`, of any type.
        bias: `(classes,)` or `None`.
        labels: Integers `(rows,)` below `classes`; a row with a negative one is left out, and its
            statistics are 0.
        transposed: Whether the kernel is an embedding, that is, has a row for each class.
        pairs: Whether row i and row i + rows / 2 are a pair; they need the same label.
        training: Whether gradients are wanted.

    Returns:
        The statistics, from which gradients flow to features, kernel and bias.
    """
    labels = tf.cast(labels, tf.int32)
    if bias is None:
        bias = tf.zeros(kernel.shape[0 if transposed else 1])
    bias = tf.cast(bias, tf.float32)

    def reference(
        features: tf.Tensor, kernel: tf.Tensor, bias: tf.Tensor, labels: tf.Tensor
    ) -> Tensors:
        return _statistics(_logits(features, kernel, bias, transposed), labels, pairs)

    by_kernel = usable(features.dtype, training)
    if by_kernel:
        kernel = tf.cast(kernel, tf.float32)
    if not by_kernel and not gradients_recorded():
        return LogitStatistics(*reference(features, kernel, bias, labels))
    run = partial(_by_kernel if by_kernel else _by_tensorflow, labels, transposed, pairs)
    return LogitStatistics(*differentiable(run, reference, (labels,))(features, kernel, bias))


def _logits(features: tf.Tensor, kernel: tf.Tensor, bias: tf.Tensor, transposed: bool) -> tf.Tensor:
    product = tf.matmul(features, tf.cast(kernel, features.dtype), transpose_b=transposed)
    return tf.cast(product, tf.float32) + bias


def _statistics(logits: tf.Tensor, labels: tf.Tensor, pairs: bool) -> Tensors:
    """Returns the statistics of float32 logits, `(rows, classes)`."""
    real = tf.cast(labels >= 0, tf.float32)
    log_normalizer = tf.reduce_logsumexp(logits, axis=-1)
    label_logit = tf.gather_nd(logits, _label_indices(labels))
    mean_logit = tf.reduce_mean(logits, axis=-1)
    statistics = (real * log_normalizer, real * label_logit, real * mean_logit)
    if not pairs:
        return statistics
    p, q = tf.split(_probabilities(logits, log_normalizer), 2)
    z_p, z_q = tf.split(logits, 2)
    return *statistics, tf.split(real, 2)[0] * tf.reduce_sum((p - q) * (z_p - z_q), axis=-1)


def _label_indices(labels: tf.Tensor) -> tf.Tensor:
    return tf.stack([tf.range(tf.shape(labels)[0]), tf.maximum(labels, 0)], axis=1)


def _by_kernel(
    labels: tf.Tensor,
    transposed: bool,
    pairs: bool,
    features: tf.Tensor,
    kernel: tf.Tensor,
    bias: tf.Tensor,
) -> tuple[Tensors, Gradient]:
    operations = library()
    logits, *statistics = operations.seq2seq_logit_statistics(
        features=features, kernel=kernel, bias=bias, labels=labels, transposed=transposed
    )
    for statistic in statistics:
        statistic.set_shape(features.shape[:1])
    differences = tf.zeros(0)
    if pairs:
        divergence, differences = operations.seq2seq_logit_divergences(
            logits=logits, labels=labels, log_normalizers=statistics[0]
        )
        divergence.set_shape((None,))
        statistics.append(divergence)

    def gradient(*d_statistics: tf.Tensor) -> Tensors:
        d_features, d_kernel, d_bias, _ = operations.seq2seq_logit_statistics_gradient(
            features=features,
            kernel=kernel,
            labels=labels,
            logits=logits,
            log_normalizers=statistics[0],
            d_log_normalizers=d_statistics[0],
            d_label_logits=d_statistics[1],
            d_means=d_statistics[2],
            differences=differences,
            d_divergences=d_statistics[3] if pairs else tf.zeros(0),
            transposed=transposed,
        )
        gradients = zip((d_features, d_kernel, d_bias), (features, kernel, bias), strict=True)
        return tuple(tf.ensure_shape(tf.cast(d, x.dtype), x.shape) for d, x in gradients)

    return tuple(statistics), gradient


def _by_tensorflow(
    labels: tf.Tensor,
    transposed: bool,
    pairs: bool,
    features: tf.Tensor,
    kernel: tf.Tensor,
    bias: tf.Tensor,
) -> tuple[Tensors, Gradient]:
    rounded = tf.cast(kernel, features.dtype)
    logits = _logits(features, kernel, bias, transposed)
    statistics = _statistics(logits, labels, pairs)
    log_normalizer = tf.reduce_logsumexp(logits, axis=-1)
    real = tf.cast(labels >= 0, tf.float32)

    def gradient(
        d_normalizer: tf.Tensor, d_label: tf.Tensor, d_mean: tf.Tensor, *d_divergence: tf.Tensor
    ) -> Tensors:
        d_each = real * d_mean / tf.cast(tf.shape(logits)[1], tf.float32)
        d_logits = _probabilities(logits, log_normalizer)
        d_logits = d_logits * (real * d_normalizer)[:, tf.newaxis] + d_each[:, tf.newaxis]
        d_logits = tf.tensor_scatter_nd_add(d_logits, _label_indices(labels), real * d_label)
        if pairs:
            p, q = tf.split(_probabilities(logits, log_normalizer), 2)
            z_p, z_q = tf.split(logits, 2)
            d = (tf.split(real, 2)[0] * d_divergence[0])[:, tf.newaxis]
            d_p, d_q = _centred(z_p - z_q, p), _centred(z_q - z_p, q)
            d_logits += tf.concat([d * (d_p + p - q), d * (d_q + q - p)], axis=0)
        d_bias = tf.reduce_sum(d_logits, axis=0)
        d_logits = tf.cast(d_logits, features.dtype)
        d_features = tf.matmul(d_logits, rounded, transpose_b=not transposed)
        operands = (d_logits, features) if transposed else (features, d_logits)
        d_kernel = tf.cast(tf.matmul(*operands, transpose_a=True), tf.float32)
        return d_features, d_kernel, d_bias

    return statistics, gradient


def _probabilities(logits: tf.Tensor, log_normalizer: tf.Tensor) -> tf.Tensor:
    return tf.exp(logits - log_normalizer[:, tf.newaxis])


def _centred(values: tf.Tensor, probabilities: tf.Tensor) -> tf.Tensor:
    """Returns `p (v - mean of v under p)`, row by row."""
    weighted = probabilities * values
    return weighted - probabilities * tf.reduce_sum(weighted, axis=-1, keepdims=True)
