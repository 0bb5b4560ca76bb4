"""The equations of one step of an LSTM and a GRU, forward and backward.

States, gates and their gradients are float32 (float64 in a float64 model) whatever the compute
dtype; only the products are in the compute dtype. So a bfloat16 model does not round its state at
every step.
"""

from abc import ABC, abstractmethod
from typing import ClassVar

import tensorflow as tf

from seq2seq.ops.differentiable import Tensors
from seq2seq.ops.scan import Arrays

Results = tuple[Tensors, Tensors]


class Step(ABC):
    """One step of a recurrent layer, and its gradient.

    States and gates are `(batch, units)`; pre-activations, among them the input times its kernel
    plus bias (`projected`), are `(batch, gates * units)` with 4 gates in an LSTM and 3 in a GRU.

    Attributes:
        saved_count: How many tensors `forward` saves.
        preactivation_count: How many gradients of pre-activations `backward` returns.
        gates: The places of the gates in what `forward` saves.
    """

    saved_count: ClassVar[int]
    preactivation_count: ClassVar[int]
    gates: ClassVar[dict[str, int]]

    @abstractmethod
    def forward(self, projected: tf.Tensor, states: Tensors, weights: Tensors) -> Results:
        """Returns the states after a step, `h` first, and the tensors saved for `backward`."""

    @abstractmethod
    def backward(
        self, d_states: Tensors, previous: Tensors, saved: Tensors, transposed: Tensors
    ) -> Results:
        """Returns the gradients of the states before a step, and those of pre-activations.

        It takes those of the states after the step, the previous states, the tensors that `forward`
        saved, and the transposed recurrent weights.
        """

    @abstractmethod
    def weight_gradients(
        self, previous_h: tf.Tensor, saved: Arrays, d_preactivations: Tensors
    ) -> Tensors:
        """Returns the gradients of the recurrent weights, from all steps at once.

        It takes `h` before every step, `(time, batch, units)`, and what `forward` saved and
        `backward` returned at every step.
        """


class LSTMStep(Step):
    """LSTM (Hochreiter & Schmidhuber, 1997; Gers et al., 2000): weights `(recurrent_kernel,)`.

    `projected` is `x W + b`. With `i, f, g, o` the four parts of `projected + h U`:
    `c' = sigmoid(f) * c + sigmoid(i) * tanh(g)` and `h' = sigmoid(o) * tanh(c')`.
    """

    saved_count = 5
    preactivation_count = 1
    gates: ClassVar = {"input_gate": 0, "forget_gate": 1, "candidate": 2, "output_gate": 3}

    def forward(self, projected: tf.Tensor, states: Tensors, weights: Tensors) -> Results:
        """See `Step.forward`."""
        h, c = states
        i, f, g, o = tf.split(projected + _product(h, weights[0]), 4, axis=-1)
        i, f, g, o = tf.sigmoid(i), tf.sigmoid(f), tf.tanh(g), tf.sigmoid(o)
        c = f * c + i * g
        tanh_c = tf.tanh(c)
        return (o * tanh_c, c), (i, f, g, o, tanh_c)

    def backward(
        self, d_states: Tensors, previous: Tensors, saved: Tensors, transposed: Tensors
    ) -> Results:
        """See `Step.backward`."""
        d_h, d_c = d_states
        i, f, g, o, tanh_c = saved
        d_c += _tanh_gradient(d_h * o, tanh_c)
        d_i = _sigmoid_gradient(d_c * g, i)
        d_f = _sigmoid_gradient(d_c * previous[1], f)
        d_g = _tanh_gradient(d_c * i, g)
        d_o = _sigmoid_gradient(d_h * tanh_c, o)
        d_z = tf.concat([d_i, d_f, d_g, d_o], axis=-1)
        return (_product(d_z, transposed[0]), d_c * f), (d_z,)

    def weight_gradients(
        self, previous_h: tf.Tensor, saved: Arrays, d_preactivations: Tensors
    ) -> Tensors:
        """See `Step.weight_gradients`."""
        return (_product_over_steps(previous_h, d_preactivations[0]),)


class GRUStep(Step):
    """GRU that resets after the product: state `(h,)`, weights `(recurrent_kernel, bias)`.

    `z = sigmoid(x_z + h U_z)`, `r = sigmoid(x_r + h U_r)`, `n = tanh(x_h + r * (h U_h + b_h))` and
    `h' = n + z * (h - n)`. `bias`, `(units,)`, is `b_h`; those of z and r are in `projected`.
    """

    saved_count = 4
    preactivation_count = 2
    gates: ClassVar = {"update_gate": 0, "reset_gate": 1, "candidate": 2}

    def forward(self, projected: tf.Tensor, states: Tensors, weights: Tensors) -> Results:
        """See `Step.forward`."""
        (h,) = states
        recurrent_kernel, bias = weights
        x_z, x_r, x_h = tf.split(projected, 3, axis=-1)
        inner_z, inner_r, inner_h = tf.split(_product(h, recurrent_kernel), 3, axis=-1)
        inner_h += tf.cast(bias, h.dtype)
        z = tf.sigmoid(x_z + inner_z)
        r = tf.sigmoid(x_r + inner_r)
        candidate = tf.tanh(x_h + r * inner_h)
        return (candidate + z * (h - candidate),), (z, r, candidate, inner_h)

    def backward(
        self, d_states: Tensors, previous: Tensors, saved: Tensors, transposed: Tensors
    ) -> Results:
        """See `Step.backward`."""
        (d_h,), (h,) = d_states, previous
        z, r, candidate, inner_h = saved
        d_h_direct = d_h * z
        d_candidate = _tanh_gradient(d_h - d_h_direct, candidate)
        d_z = _sigmoid_gradient(d_h * (h - candidate), z)
        d_r = _sigmoid_gradient(d_candidate * inner_h, r)
        d_inner = tf.concat([d_z, d_r, d_candidate * r], axis=-1)
        d_projected = tf.concat([d_z, d_r, d_candidate], axis=-1)
        return (d_h_direct + _product(d_inner, transposed[0]),), (d_projected, d_inner)

    def weight_gradients(
        self, previous_h: tf.Tensor, saved: Arrays, d_preactivations: Tensors
    ) -> Tensors:
        """See `Step.weight_gradients`."""
        d_inner = d_preactivations[1]
        d_inner_h = d_inner[..., -previous_h.shape[-1] :]
        return _product_over_steps(previous_h, d_inner), tf.reduce_sum(d_inner_h, axis=(0, 1))


class GRUResetBeforeStep(Step):
    """GRU that resets before the product: `n = tanh(x_h + (r * h) U_h)`, all else as in `GRUStep`.

    Its weights are the recurrent kernel of z and r, and that of the candidate.
    """

    saved_count = 4
    preactivation_count = 1
    gates: ClassVar = {"update_gate": 1, "reset_gate": 2, "candidate": 3}

    def forward(self, projected: tf.Tensor, states: Tensors, weights: Tensors) -> Results:
        """See `Step.forward`."""
        (h,) = states
        x_z, x_r, x_h = tf.split(projected, 3, axis=-1)
        inner_z, inner_r = tf.split(_product(h, weights[0]), 2, axis=-1)
        z = tf.sigmoid(x_z + inner_z)
        r = tf.sigmoid(x_r + inner_r)
        reset_h = r * h
        candidate = tf.tanh(x_h + _product(reset_h, weights[1]))
        return (candidate + z * (h - candidate),), (reset_h, z, r, candidate)

    def backward(
        self, d_states: Tensors, previous: Tensors, saved: Tensors, transposed: Tensors
    ) -> Results:
        """See `Step.backward`."""
        (d_h,), (h,) = d_states, previous
        _, z, r, candidate = saved
        d_h_direct = d_h * z
        d_candidate = _tanh_gradient(d_h - d_h_direct, candidate)
        d_reset_h = _product(d_candidate, transposed[1])
        d_z = _sigmoid_gradient(d_h * (h - candidate), z)
        d_r = _sigmoid_gradient(d_reset_h * h, r)
        d_zr = tf.concat([d_z, d_r], axis=-1)
        d_previous = d_h_direct + d_reset_h * r + _product(d_zr, transposed[0])
        return (d_previous,), (tf.concat([d_zr, d_candidate], axis=-1),)

    def weight_gradients(
        self, previous_h: tf.Tensor, saved: Arrays, d_preactivations: Tensors
    ) -> Tensors:
        """See `Step.weight_gradients`."""
        units = previous_h.shape[-1]
        d_zr, d_candidate = tf.split(d_preactivations[0], [2 * units, units], axis=-1)
        reset_h = tf.cast(saved[0].stack(), previous_h.dtype)
        return _product_over_steps(previous_h, d_zr), _product_over_steps(reset_h, d_candidate)


def _sigmoid_gradient(d_output: tf.Tensor, output: tf.Tensor) -> tf.Tensor:
    """Returns the gradient of a sigmoid's input from that of its output."""
    return tf.raw_ops.SigmoidGrad(y=output, dy=d_output)


def _tanh_gradient(d_output: tf.Tensor, output: tf.Tensor) -> tf.Tensor:
    """Returns the gradient of a tanh's input from that of its output."""
    return tf.raw_ops.TanhGrad(y=output, dy=d_output)


def _product(rows: tf.Tensor, weight: tf.Tensor) -> tf.Tensor:
    """Multiplies in the dtype of `weight`, `(inputs, outputs)`, and returns the dtype of `rows`."""
    return tf.cast(tf.matmul(tf.cast(rows, weight.dtype), weight), rows.dtype)


def _product_over_steps(operand: tf.Tensor, d_product: tf.Tensor) -> tf.Tensor:
    """Returns the gradient of a weight, `(inputs, outputs)`, summed over all steps and rows.

    The weight was multiplied with `operand`, `(time, batch, inputs)`.
    """
    rows = tf.reshape(operand, (-1, operand.shape[-1]))
    d_rows = tf.reshape(d_product, (-1, d_product.shape[-1]))
    return tf.matmul(rows, d_rows, transpose_a=True)
