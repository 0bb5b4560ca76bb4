"""LSTM and GRU as one node of a graph that is converted to ONNX, which has such operations.

TensorFlow's own operation of a whole layer, `CudnnRNNV3`, stands for it: it takes sequences,
states, all weights in one vector, and lengths. It is never run; `seq2seq.export.onnx_recurrence`
replaces it.
"""

import tensorflow as tf

from seq2seq.ops.differentiable import Tensors

NODE = "CudnnRNNV3"


def recurrent_node(
    cell: str,
    sequences: tf.Tensor,
    weights: Tensors,
    states: Tensors,
    mask: tf.Tensor | None,
    *,
    return_sequences: bool,
    go_backwards: bool,
) -> tuple[tf.Tensor | None, Tensors]:
    """Runs a layer over time; arguments and results as in `ops.recurrent`.

    Real steps must stand before padding. At padding `h` is 0.

    Args:
        cell: `lstm`, `gru`, or `gru_reset_before`.
        sequences: float32 `(batch, time, features)`.
        weights: Kernel, recurrent kernel, and if there are any one bias, or the two of a `gru`.
            They are packed in this order, each as in Keras; zeros stand for missing biases.
        states: The initial states, `(batch, units)` each.
        mask: Booleans, `(batch, time)`.
        return_sequences: Whether `h` after every step is wanted.
        go_backwards: Whether to start at the last step.
    """
    batch, time = tf.shape(sequences)[0], tf.shape(sequences)[1]
    lengths = tf.fill([batch], time)
    if mask is not None:
        lengths = tf.broadcast_to(tf.reduce_sum(tf.cast(mask, tf.int32), axis=1), [batch])
    if go_backwards:
        sequences = tf.reverse_sequence(sequences, lengths, seq_axis=1)
    biases = 2 if cell == "gru" else 1
    if len(weights) == 2:
        weights = (*weights, tf.zeros(biases * weights[0].shape[1]))
    outputs = tf.raw_ops.CudnnRNNV3(
        input=tf.transpose(sequences, (1, 0, 2)),
        input_h=states[0][tf.newaxis],
        input_c=states[-1][tf.newaxis],
        params=tf.concat([tf.reshape(weight, [-1]) for weight in weights], axis=0),
        sequence_lengths=lengths,
        rnn_mode="lstm" if cell == "lstm" else "gru",
        is_training=False,
    )
    has_steps = lengths[:, tf.newaxis] > 0
    finals = (outputs.output_h, outputs.output_c)[: len(states)]
    last = tuple(final[0] for final in finals)  # of one direction
    last = tuple(tf.where(has_steps, new, old) for new, old in zip(last, states, strict=True))
    units = weights[1].shape[0]
    last = tuple(tf.ensure_shape(state, (sequences.shape[0], units)) for state in last)
    if not return_sequences:
        return None, last
    hidden = tf.transpose(outputs.output, (1, 0, 2))
    if go_backwards:
        hidden = tf.reverse(tf.reverse_sequence(hidden, lengths, seq_axis=1), [1])
    return tf.ensure_shape(hidden, (*sequences.shape[:2], units)), last
