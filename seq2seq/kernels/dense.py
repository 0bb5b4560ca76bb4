"""A dense layer's product as one operation forward and one back."""

from collections.abc import Callable

import tensorflow as tf

from seq2seq.kernels.library import library


@tf.custom_gradient
def dense(x: tf.Tensor, kernel: tf.Tensor, bias: tf.Tensor) -> tuple[tf.Tensor, Callable]:
    """Computes `x @ kernel + bias`; only where kernels are `usable`.

    Args:
        x: `(rows, inputs)`, float32 or bfloat16.
        kernel: `(inputs, outputs)`, float32.
        bias: `(outputs,)`, float32.

    Returns:
        `(rows, outputs)`, float32.
    """
    operations = library()
    y = operations.seq2seq_dense(x=x, kernel=kernel, bias=bias)
    y.set_shape((x.shape[0], kernel.shape[1]))

    def gradient(d_y: tf.Tensor) -> tuple[tf.Tensor, ...]:
        gradients = operations.seq2seq_dense_gradient(x=x, kernel=kernel, d_y=d_y)
        return tuple(
            tf.ensure_shape(tf.cast(d, operand.dtype), operand.shape)
            for d, operand in zip(gradients, (x, kernel, bias), strict=True)
        )

    return y, gradient
