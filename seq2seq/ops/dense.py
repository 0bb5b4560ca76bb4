"""A dense layer: `activation(x @ kernel + bias)`."""

from collections.abc import Callable
from typing import Any

import keras
import tensorflow as tf

from seq2seq.ops.compile import library
from seq2seq.ops.differentiable import Gradient, Tensors, differentiable
from seq2seq.ops.dispatch import (
    in_float32,
    packed_weights,
    selected_outputs,
    steps_usable,
    usable,
)


def dense(
    x: tf.Tensor,
    kernel: Any,
    bias: Any | None = None,
    activation: Callable[[tf.Tensor], tf.Tensor] | None = None,
    *,
    training: bool = False,
) -> tf.Tensor:
    """Computes `activation(x @ kernel + bias)`; weights are variables.

    Maps `(..., inputs)` to `(..., outputs)` of the same type; in a search's step the result is
    float32, unless the activation is `tanh`. In training, gradients are wanted.
    """
    by_step = steps_usable(x.dtype)
    if not by_step and not usable(x.dtype, training):
        y = keras.ops.matmul(x, selected_outputs(kernel, x.dtype))
        y = y if bias is None else keras.ops.add(y, selected_outputs(bias, x.dtype))
        return y if activation is None else activation(y)
    rows = tf.reshape(x, (-1, kernel.shape[0]))
    tanh = activation is keras.activations.tanh
    if by_step:
        y = packed_product(rows, kernel, bias, tanh=tanh)
    else:
        bias = tf.zeros(kernel.shape[1]) if bias is None else in_float32(bias)
        y = product(rows, in_float32(kernel), bias, tanh=tanh)
    y = _with_leading_axes(y, x)
    return y if tanh or activation is None else activation(y)


def tied_logits(x: tf.Tensor, embeddings: Any) -> tf.Tensor:
    """Multiplies features `(..., dim)` with embeddings, a variable `(classes, dim)`.

    Returns:
        `(..., classes)`, of the type of `x`; in a search's step float32.
    """
    if not steps_usable(x.dtype):
        return keras.ops.matmul(x, keras.ops.transpose(selected_outputs(embeddings, x.dtype)))
    y = packed_product(tf.reshape(x, (-1, embeddings.shape[1])), embeddings, transposed=True)
    return _with_leading_axes(y, x)


def _with_leading_axes(y: tf.Tensor, x: tf.Tensor) -> tf.Tensor:
    """Reshapes `(rows, outputs)` to `(..., outputs)`, as `x` is `(..., inputs)`."""
    return tf.reshape(y, (*keras.ops.shape(x)[:-1], keras.ops.shape(y)[-1]))


def product(x: tf.Tensor, kernel: tf.Tensor, bias: tf.Tensor, *, tanh: bool) -> tf.Tensor:
    """Computes `x @ kernel + bias`, or the tanh of it, by a kernel with a gradient.

    Maps `(rows, inputs)`, float32 or bfloat16, to `(rows, outputs)` of that type; weights are
    float32.
    """
    operations = library()

    def run(x: tf.Tensor, kernel: tf.Tensor, bias: tf.Tensor) -> tuple[Tensors, Gradient]:
        y = operations.seq2seq_dense(x=x, kernel=kernel, bias=bias, tanh=tanh)
        y.set_shape((x.shape[0], kernel.shape[1]))

        def gradient(d_y: tf.Tensor) -> Tensors:
            saved = y if tanh else tf.zeros((0, 0), x.dtype)
            gradients = operations.seq2seq_dense_gradient(
                x=x, kernel=kernel, y=saved, d_y=d_y, tanh=tanh
            )
            operands = zip(gradients, (x, kernel, bias), strict=True)
            return tuple(tf.ensure_shape(d, operand.shape) for d, operand in operands)

        return (y,), gradient

    def reference(x: tf.Tensor, kernel: tf.Tensor, bias: tf.Tensor) -> Tensors:
        y = tf.matmul(tf.cast(x, kernel.dtype), kernel) + bias
        return (tf.cast(tf.tanh(y) if tanh else y, x.dtype),)

    return differentiable(run, reference)(x, kernel, bias)[0]


def packed_product(
    x: tf.Tensor,
    kernel: Any,
    bias: Any | None = None,
    *,
    transposed: bool = False,
    tanh: bool = False,
) -> tf.Tensor:
    """Computes `x @ kernel + bias`, or the tanh of it, with packed weights.

    Maps `(rows, inputs)`, float32 or bfloat16, to `(rows, outputs)`, float32; with `tanh` of the
    type of `x`. A `transposed` kernel is `(outputs, inputs)`, and has no `tanh`.
    """
    weights = packed_weights()
    matrix = in_float32(weights.selected(kernel))
    packed = weights.pack(kernel, matrix, x, transposed=transposed)
    bias = tf.zeros(0) if bias is None else in_float32(weights.selected(bias))
    operands = {"x": x, "matrix": matrix, "packed": packed, "bias": bias}
    if tanh:
        y = library().seq2seq_packed_tanh_dense(**operands)
    else:
        y = library().seq2seq_packed_dense(**operands, transposed=transposed)
    y.set_shape((x.shape[0], matrix.shape[0 if transposed else 1]))
    return y
