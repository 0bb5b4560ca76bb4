"""Products and recurrent layers at each step of a search, whose weights are packed once for all."""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, Literal

import tensorflow as tf

from seq2seq.kernels.library import available, library
from seq2seq.kernels.stored_weights import widened

Tensors = tuple[tf.Tensor, ...]


class PackedWeights:
    """The weights of a model's step, packed once for all steps of a search.

    A weight is packed where it is first needed, which must be outside of the search's loop; the
    loop's own steps then find it. So a search makes its first step before the loop, and keeps this
    object for as long as it is being traced.

    Args:
        eight_bits: Whether products are made in 8 bits where the processor has instructions for
            that (AVX-512 VNNI) and they are at most 2,040 deep: each column of a weight, and each
            row of what it is multiplied with, is rounded to 255 multiples of a scale of its own.
            Sums are exact.

    Example:
        >>> weights = PackedWeights()
        >>> with weights.in_use():
        ...     first = step(tokens, state)
    """

    def __init__(self, eight_bits: bool = False) -> None:
        self.eight_bits = eight_bits
        self._packed: dict[Any, tf.Tensor] = {}

    @contextmanager
    def in_use(self) -> Iterator[None]:
        """Lets layers that are called within go one step on by kernels of packed weights."""
        token = _in_use.set(self)
        try:
            yield
        finally:
            _in_use.reset(token)

    def of(
        self, variable: Any, matrix: tf.Tensor, x: tf.Tensor, gates: int, transposed: bool
    ) -> tf.Tensor:
        """Returns a weight's packed form.

        Where there are few rows it is empty or takes half of the weight's memory, if it is not in
        8 bits.

        Args:
            variable: The weight.
            matrix: Its value.
            x: `(rows, ...)`, what is multiplied with it at the first step. With bfloat16 the packed
                form is rounded, where this processor gains by it.
            gates: Into how many parts its columns fall.
            transposed: Whether its rows are the product's columns.
        """
        key = (id(variable), gates, transposed)
        if key not in self._packed:
            self._packed[key] = library().seq2seq_pack(
                example=x[:0],
                matrix=matrix,
                rows=tf.shape(x)[0],
                gates=gates,
                eight_bits=self.eight_bits,
                transposed=transposed,
            )
        return self._packed[key]


_in_use: ContextVar[PackedWeights | None] = ContextVar("packed_weights", default=None)


def steps_usable(dtype: tf.DType) -> bool:
    """Returns whether a layer that goes one step on should do so by these kernels."""
    return _in_use.get() is not None and available(dtype)


def packed_dense(
    x: tf.Tensor,
    kernel: Any,
    bias: Any | None = None,
    *,
    transposed: bool = False,
    tanh: bool = False,
) -> tf.Tensor:
    """Computes `x @ kernel + bias`, or the tanh of it; only where `steps_usable`.

    Args:
        x: `(rows, inputs)`, float32 or bfloat16.
        kernel: A variable, `(inputs, outputs)`, or `(outputs, inputs)` if `transposed`.
        bias: float32 `(outputs,)`, or None.
        transposed: Whether the kernel is an embedding, that is, has a row for each output.
        tanh: Whether the result is the tanh of the sum; not of a transposed product.

    Returns:
        `(rows, outputs)`, float32; with `tanh` of the type of `x`.
    """
    matrix = widened(kernel)
    operands = {
        "x": x,
        "matrix": matrix,
        "packed": _packed(kernel, matrix, x, transposed=transposed),
        "bias": tf.zeros(0) if bias is None else widened(bias),
    }
    if tanh:
        y = library().seq2seq_packed_tanh_dense(**operands)
    else:
        y = library().seq2seq_packed_dense(**operands, transposed=transposed)
    y.set_shape((x.shape[0], matrix.shape[0 if transposed else 1]))
    return y


def recurrent_step(
    cell: Literal["lstm", "gru"],
    x: tf.Tensor,
    kernels: tuple[Any, Any],
    biases: Tensors,
    states: Tensors,
) -> Tensors:
    """Takes a recurrent layer one step on; only where `steps_usable`.

    Args:
        cell: As in `recurrent_layer`.
        x: `(rows, features)`, float32 or bfloat16.
        kernels: The kernel and the recurrent kernel, variables.
        biases: The bias and, for a `gru`, the recurrent bias, float32 `(gates * units,)` each.
        states: `(h, c)` or `(h,)`, `(rows, units)` each, of the type of `x`.

    Returns:
        The next states, of the same type.
    """
    kernel, recurrent = map(widened, kernels)
    gates = kernel.shape[1] // recurrent.shape[0]
    found = getattr(library(), f"seq2seq_{cell}_step")(
        x=x,
        h_before=states[0],
        second_before=states[-1],
        kernel=kernel,
        recurrent=recurrent,
        packed_kernel=_packed(kernels[0], kernel, x, gates),
        packed_recurrent=_packed(kernels[1], recurrent, x, gates),
        bias=biases[0],
        recurrent_bias=biases[1] if len(biases) > 1 else tf.zeros(0),
    )
    return tuple(
        tf.ensure_shape(after, state.shape) for after, state in zip(found, states, strict=False)
    )


def _packed(
    variable: Any, matrix: tf.Tensor, x: tf.Tensor, gates: int = 1, transposed: bool = False
) -> tf.Tensor:
    weights = _in_use.get()
    if weights is None:
        raise RuntimeError("no packed weights are in use")
    return weights.of(variable, matrix, x, gates, transposed)
