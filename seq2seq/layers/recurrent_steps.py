"""The maths of one step of a recurrent layer, forward and back.

States, gates and their gradients are float32 (float64 in a float64 model) whatever the compute
dtype; only the products are in the compute dtype. So a bfloat16 model does not round its state at
every step.
"""

from typing import ClassVar, Protocol

import tensorflow as tf

Tensors = tuple[tf.Tensor, ...]
TensorArrays = tuple[tf.TensorArray, ...]


def state_dtype(compute_dtype: tf.DType) -> tf.DType:
    """Returns the dtype of states and gates in the loops: float32 at least."""
    return tf.float64 if compute_dtype == tf.float64 else tf.float32


class Step(Protocol):
    """One step of a recurrent network, and its gradient.

    The tensors of a step are `(batch, units)`, pre-activations `(batch, gates * units)` with 4
    gates in an LSTM and 3 in a GRU.
    """

    saved_count: int
    """How many tensors `forward` saves."""

    preactivation_count: int
    """How many gradients of pre-activations `backward` returns."""

    gates: ClassVar[dict[str, int]]
    """The places of the gates in what `forward` saves."""

    def forward(
        self, projected: tf.Tensor, states: Tensors, weights: Tensors
    ) -> tuple[Tensors, Tensors]:
        """Goes one step on.

        Args:
            projected: The input times its kernel plus bias, `(batch, gates * units)`.
            states: The states before the step, `h` first.
            weights: The recurrent weights.

        Returns:
            The states after the step, and what `backward` needs beside the states before it.
        """
        ...

    def backward(
        self, d_states: Tensors, previous: Tensors, saved: Tensors, transposed: Tensors
    ) -> tuple[Tensors, Tensors]:
        """Goes one step back.

        Args:
            d_states: The gradients of the states after the step.
            previous: The states before the step.
            saved: What `forward` saved.
            transposed: The recurrent weights, transposed.

        Returns:
            The gradients of the states before the step, and those of the pre-activations, of which
            the first is the gradient of `projected`.
        """
        ...

    def weight_gradients(
        self, previous_h: tf.Tensor, saved: TensorArrays, d_preactivations: Tensors
    ) -> Tensors:
        """Makes the gradients of the recurrent weights from all steps at once.

        Args:
            previous_h: `h` before every step, `(time, batch, units)`.
            saved: What `forward` saved at every step.
            d_preactivations: What `backward` returned at every step,
                `(time, batch, gates * units)`.

        Returns:
            The gradients, in the order and dtype of the weights.
        """
        ...


class LSTMStep:
    """LSTM: states `(h, c)`, gates i, f, g, o, weights `(recurrent_kernel,)`."""

    saved_count = 5
    preactivation_count = 1
    gates: ClassVar = {"input_gate": 0, "forget_gate": 1, "candidate": 2, "output_gate": 3}

    def forward(
        self, projected: tf.Tensor, states: Tensors, weights: Tensors
    ) -> tuple[Tensors, Tensors]:
        """See `Step.forward`."""
        h, c = states
        i, f, g, o = tf.split(projected + _product(h, weights[0]), 4, axis=-1)
        i, f, g, o = tf.sigmoid(i), tf.sigmoid(f), tf.tanh(g), tf.sigmoid(o)
        c = f * c + i * g
        tanh_c = tf.tanh(c)
        return (o * tanh_c, c), (i, f, g, o, tanh_c)

    def backward(
        self, d_states: Tensors, previous: Tensors, saved: Tensors, transposed: Tensors
    ) -> tuple[Tensors, Tensors]:
        """See `Step.backward`."""
        d_h, d_c = d_states
        i, f, g, o, tanh_c = saved
        d_c += _before_tanh(d_h * o, tanh_c)
        d_i = _before_sigmoid(d_c * g, i)
        d_f = _before_sigmoid(d_c * previous[1], f)
        d_g = _before_tanh(d_c * i, g)
        d_o = _before_sigmoid(d_h * tanh_c, o)
        d_z = tf.concat([d_i, d_f, d_g, d_o], axis=-1)
        return (_product(d_z, transposed[0]), d_c * f), (d_z,)

    def weight_gradients(
        self, previous_h: tf.Tensor, saved: TensorArrays, d_preactivations: Tensors
    ) -> Tensors:
        """See `Step.weight_gradients`."""
        return (_product_over_steps(previous_h, d_preactivations[0]),)


class GRUStep:
    """GRU that resets after the product: state `(h,)`, gates z, r, h, weights `(kernel, bias)`.

    The bias, `(units,)`, is the candidate's. That of z and r is a part of `projected`.
    """

    saved_count = 4
    preactivation_count = 2
    gates: ClassVar = {"update_gate": 0, "reset_gate": 1, "candidate": 2}

    def forward(
        self, projected: tf.Tensor, states: Tensors, weights: Tensors
    ) -> tuple[Tensors, Tensors]:
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
    ) -> tuple[Tensors, Tensors]:
        """See `Step.backward`."""
        (d_h,) = d_states
        z, r, candidate, inner_h = saved
        d_kept = d_h * z
        d_candidate = _before_tanh(d_h - d_kept, candidate)
        d_z = _before_sigmoid(d_h * (previous[0] - candidate), z)
        d_r = _before_sigmoid(d_candidate * inner_h, r)
        d_inner = tf.concat([d_z, d_r, d_candidate * r], axis=-1)
        d_projected = tf.concat([d_z, d_r, d_candidate], axis=-1)
        return (d_kept + _product(d_inner, transposed[0]),), (d_projected, d_inner)

    def weight_gradients(
        self, previous_h: tf.Tensor, saved: TensorArrays, d_preactivations: Tensors
    ) -> Tensors:
        """See `Step.weight_gradients`."""
        d_inner = d_preactivations[1]
        d_inner_h = d_inner[..., -previous_h.shape[-1] :]
        return _product_over_steps(previous_h, d_inner), tf.reduce_sum(d_inner_h, axis=(0, 1))


class GRUResetBeforeStep:
    """GRU that resets before the product: weights are the kernel of z and r, and that of h."""

    saved_count = 4
    preactivation_count = 1
    gates: ClassVar = {"update_gate": 1, "reset_gate": 2, "candidate": 3}

    def forward(
        self, projected: tf.Tensor, states: Tensors, weights: Tensors
    ) -> tuple[Tensors, Tensors]:
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
    ) -> tuple[Tensors, Tensors]:
        """See `Step.backward`."""
        (d_h,), (h,) = d_states, previous
        _, z, r, candidate = saved
        d_kept = d_h * z
        d_candidate = _before_tanh(d_h - d_kept, candidate)
        d_reset_h = _product(d_candidate, transposed[1])
        d_z = _before_sigmoid(d_h * (h - candidate), z)
        d_r = _before_sigmoid(d_reset_h * h, r)
        d_zr = tf.concat([d_z, d_r], axis=-1)
        d_previous = d_kept + d_reset_h * r + _product(d_zr, transposed[0])
        return (d_previous,), (tf.concat([d_zr, d_candidate], axis=-1),)

    def weight_gradients(
        self, previous_h: tf.Tensor, saved: TensorArrays, d_preactivations: Tensors
    ) -> Tensors:
        """See `Step.weight_gradients`."""
        units = previous_h.shape[-1]
        d_zr, d_candidate = tf.split(d_preactivations[0], [2 * units, units], axis=-1)
        reset_h = tf.cast(saved[0].stack(), previous_h.dtype)
        return (
            _product_over_steps(previous_h, d_zr),
            _product_over_steps(reset_h, d_candidate),
        )


def _before_sigmoid(d_output: tf.Tensor, output: tf.Tensor) -> tf.Tensor:
    """Returns the gradient of the input of a sigmoid from that of its output, in one pass."""
    return tf.raw_ops.SigmoidGrad(y=output, dy=d_output)


def _before_tanh(d_output: tf.Tensor, output: tf.Tensor) -> tf.Tensor:
    """Returns the gradient of the input of a tanh from that of its output, in one pass."""
    return tf.raw_ops.TanhGrad(y=output, dy=d_output)


def _product(rows: tf.Tensor, weight: tf.Tensor) -> tf.Tensor:
    """Multiplies in the dtype of `weight`, `(inputs, outputs)`, and returns the dtype of `rows`."""
    return tf.cast(tf.matmul(tf.cast(rows, weight.dtype), weight), rows.dtype)


def _product_over_steps(operand: tf.Tensor, d_product: tf.Tensor) -> tf.Tensor:
    """Returns the gradient of a weight, `(inputs, outputs)`, summed over all steps and rows.

    Args:
        operand: What the weight was multiplied with, `(time, batch, inputs)`.
        d_product: The gradient of the product, `(time, batch, outputs)`.
    """
    rows = tf.reshape(operand, (-1, operand.shape[-1]))
    d_rows = tf.reshape(d_product, (-1, d_product.shape[-1]))
    return tf.matmul(rows, d_rows, transpose_a=True)
