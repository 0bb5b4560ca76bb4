"""The best label sequences of a linear chain, see `seq2seq.layers.crf`."""

from typing import Any

import tensorflow as tf

from seq2seq.kernels.crf import best_labels
from seq2seq.kernels.library import usable
from seq2seq.layers.crf import FORBIDDEN, marginals


def most_probable(
    logits: tf.Tensor, transitions: tf.Tensor, lengths: tf.Tensor
) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
    """Finds the best labels of each row, and how probable they are.

    Args:
        logits: Float32 `(batch, steps, labels)`.
        transitions: Float32 `(labels + 1, labels + 1)`, see `CRF`.
        lengths: int32 `(batch,)`, the real steps of each row.

    Returns:
        The labels, int32 `(batch, steps)`, 0 at padding; the log-probability of all labels of a row
        together, `(batch,)`, 0 for a row of length 0; and the probability of each of them over all
        labels of the other steps, `(batch, steps)`, 0 at padding.
    """
    if usable(tf.float32, training=False):
        best, scores, probabilities, normalizers = best_labels(logits, transitions, lengths)
    else:
        best, scores = viterbi(logits, transitions, lengths)
        each, normalizers = marginals(logits, transitions, lengths)
        probabilities = tf.gather(each, best, batch_dims=2)
    return best, scores - normalizers, probabilities


def viterbi(
    logits: tf.Tensor, transitions: tf.Tensor, lengths: tf.Tensor
) -> tuple[tf.Tensor, tf.Tensor]:
    """Finds the best labels of each row (Viterbi, 1967).

    Args:
        logits: `(batch, steps, labels)`.
        transitions: `(labels + 1, labels + 1)`, see `CRF`.
        lengths: Integers `(batch,)`, the real steps of each row.

    Returns:
        The labels, int32 `(batch, steps)`, 0 at padding; and their scores, float32 `(batch,)`, 0
        for a row of length 0.
    """
    steps, by_step, between, first, last = _prepared(logits, transitions)
    real = tf.transpose(tf.sequence_mask(lengths, steps))
    inputs = _array(steps, by_step.dtype, by_step.shape[1:]).unstack(by_step)

    def forward(t: tf.Tensor, scores: tf.Tensor, all_scores: Any) -> tuple[Any, ...]:
        # The labels are found on the way back, from the scores: there only one of them counts.
        best = tf.reduce_max(scores[:, :, tf.newaxis] + between, axis=1) + inputs.read(t)
        scores = tf.where(real[t][:, tf.newaxis], best, scores)
        return t + 1, scores, all_scores.write(t, scores)

    start = first + by_step[0]
    kept = _array(steps, by_step.dtype, by_step.shape[1:]).write(0, start)
    _, scores, kept = tf.while_loop(lambda t, *_: t < steps, forward, (1, start, kept))
    arriving = tf.transpose(between)

    def backward(t: tf.Tensor, label: tf.Tensor, labels: Any) -> tuple[Any, ...]:
        before = tf.argmax(
            kept.read(t - 1) + tf.gather(arriving, label), axis=1, output_type=tf.int32
        )
        label = tf.where(real[t], before, label)
        return t - 1, label, labels.write(t - 1, label)

    best_label = tf.argmax(scores + last, axis=1, output_type=tf.int32)
    labels = _array(steps, tf.int32, best_label.shape).write(steps - 1, best_label)
    *_, labels = tf.while_loop(lambda t, *_: t > 0, backward, (steps - 1, best_label, labels))
    found = tf.transpose(tf.where(real, labels.stack(), 0))
    best_score = tf.where(lengths > 0, tf.reduce_max(scores + last, axis=1), 0.0)
    return found[:, : tf.shape(logits)[1]], best_score


def n_best(
    logits: tf.Tensor, transitions: tf.Tensor, lengths: tf.Tensor, n: int
) -> tuple[tf.Tensor, tf.Tensor]:
    """Finds the n best label sequences of each row, best first (Seshadri & Sundberg, 1994).

    Args:
        logits: `(batch, steps, labels)`.
        transitions: `(labels + 1, labels + 1)`, see `CRF`.
        lengths: Integers `(batch,)`, the real steps of each row.
        n: How many, at least 1.

    Returns:
        The labels, int32 `(batch, n, steps)`, 0 at padding; and their scores, float32 `(batch, n)`.
        Where a row has fewer sequences, as short ones do, the scores of those that do not exist
        are minus infinity.
    """
    steps, by_step, between, first, last = _prepared(logits, transitions)
    batch, count = tf.shape(logits)[0], logits.shape[-1]
    real = tf.transpose(tf.sequence_mask(lengths, steps))
    inputs = _array(steps, by_step.dtype, by_step.shape[1:]).unstack(by_step)

    def forward(t: tf.Tensor, scores: tf.Tensor, pointers: Any) -> tuple[Any, ...]:
        # (batch, next label, label * n): every hypothesis of every label, seen from the next one.
        through = scores[:, tf.newaxis] + tf.transpose(between)[:, :, tf.newaxis]
        through = tf.reshape(through, [batch, count, count * n])
        best, pointer = tf.math.top_k(through, n)
        best += inputs.read(t)[:, :, tf.newaxis]
        scores = tf.where(real[t][:, tf.newaxis, tf.newaxis], best, scores)
        return t + 1, scores, pointers.write(t, pointer)

    # One hypothesis a label in the beginning; the others do not exist yet.
    start = (first + by_step[0])[..., tf.newaxis]
    start = tf.pad(start, [[0, 0], [0, 0], [0, n - 1]], constant_values=-float("inf"))
    shape = [None, count, n]
    pointers = _array(steps, tf.int32, shape).write(0, tf.zeros(tf.shape(start), tf.int32))
    _, scores, pointers = tf.while_loop(lambda t, *_: t < steps, forward, (1, start, pointers))

    ends = tf.reshape(scores + last[:, tf.newaxis], [batch, count * n])
    best_scores, place = tf.math.top_k(ends, n)

    def backward(t: tf.Tensor, place: tf.Tensor, places: Any) -> tuple[Any, ...]:
        pointer = tf.reshape(pointers.read(t), [batch, count * n])
        before = tf.gather(pointer, place, batch_dims=1)
        place = tf.where(real[t][:, tf.newaxis], before, place)
        return t - 1, place, places.write(t - 1, place)

    places = _array(steps, tf.int32, [None, n]).write(steps - 1, place)
    *_, places = tf.while_loop(lambda t, *_: t > 0, backward, (steps - 1, place, places))
    found = tf.where(real[..., tf.newaxis], places.stack() // n, 0)
    only = tf.concat([tf.zeros(1), tf.fill([n - 1], -float("inf"))], axis=0)
    best_scores = tf.where((lengths > 0)[:, tf.newaxis], best_scores, only)
    return tf.transpose(found, [1, 2, 0])[:, :, : tf.shape(logits)[1]], best_scores


def _prepared(logits: tf.Tensor, transitions: tf.Tensor) -> tuple[Any, ...]:
    """Returns the number of steps, at least 1; the logits by step; and the parts of transitions."""
    logits, transitions = tf.cast(logits, tf.float32), tf.cast(transitions, tf.float32)
    no_step = tf.cast(tf.equal(tf.shape(logits)[1], 0), tf.int32)
    by_step = tf.transpose(tf.pad(logits, [[0, 0], [0, no_step], [0, 0]]), [1, 0, 2])
    hard = tf.where(transitions > FORBIDDEN / 2, transitions, -float("inf"))
    return tf.shape(by_step)[0], by_step, hard[:-1, :-1], hard[-1, :-1], hard[:-1, -1]


def _array(steps: tf.Tensor, dtype: tf.DType, shape: Any) -> tf.TensorArray:
    return tf.TensorArray(dtype, steps, element_shape=shape, clear_after_read=False)
