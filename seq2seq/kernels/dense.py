"""A dense layer's product as one operation forward and one back."""

import tensorflow as tf

from seq2seq.kernels.derivatives import Gradient, Tensors, differentiable
from seq2seq.kernels.library import library


def dense(x: tf.Tensor, kernel: tf.Tensor, bias: tf.Tensor, *, tanh: bool = False) -> tf.Tensor:
    """Computes `x @ kernel + bias`, or the tanh of it; only where kernels are `usable`.

    Args:
        x: `(rows, inputs)`, float32 or bfloat16.
        kernel: `(inputs, outputs)`, float32.
        bias: `(outputs,)`, float32.
        tanh: Whether the result is the tanh of the sum.

    Returns:
        `(rows, outputs)`, of the type of `x`.
    """
    operations = library()

    def run(x: tf.Tensor, kernel: tf.Tensor, bias: tf.Tensor) -> tuple[Tensors, Gradient]:
        y = operations.seq2seq_dense(x=x, kernel=kernel, bias=bias, tanh=tanh)
        y.set_shape((x.shape[0], kernel.shape[1]))

        def gradient(d_y: tf.Tensor) -> Tensors:
            gradients = operations.seq2seq_dense_gradient(
                x=x,
                kernel=kernel,
                y=y if tanh else tf.zeros((0, 0), x.dtype),
                d_y=d_y,
                tanh=tanh,
            )
            operands = zip(gradients, (x, kernel, bias), strict=True)
            return tuple(tf.ensure_shape(d, operand.shape) for d, operand in operands)

        return (y,), gradient

    def reference(x: tf.Tensor, kernel: tf.Tensor, bias: tf.Tensor) -> Tensors:
        y = tf.matmul(tf.cast(x, kernel.dtype), kernel) + bias
        return (tf.cast(tf.tanh(y) if tanh else y, x.dtype),)

    return differentiable(run, reference)(x, kernel, bias)[0]
