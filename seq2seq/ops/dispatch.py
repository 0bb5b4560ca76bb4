"""The conditions under which an operation runs as a compiled kernel; every operation asks them.

The decision is made where a graph is traced or an operation runs eagerly: from the type, the
device, XLA, tapes, exports, and the context managers below.
"""

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from typing import Any, Literal

import tensorflow as tf

from seq2seq import private_api
from seq2seq.ops.compile import expected, library, load
from seq2seq.ops.processor import INT8_QUADS, compiler_flags

TYPES = (tf.float32, tf.bfloat16)

Runtime = Literal["tensorflow", "onnx", "openvino", "litert"]
"""A runtime that graphs are exported to."""
SIMPLE_LOOPS: tuple[Runtime, ...] = ("openvino", "litert")
"""Runtimes whose loops know no lists of tensors, and no batch that changes its size."""

_inference_kernels: ContextVar[bool] = ContextVar("inference_kernels", default=False)
_export_runtime: ContextVar[Runtime | None] = ContextVar("export_runtime", default=None)


@contextmanager
def exported_graphs(runtime: Runtime) -> Iterator[None]:
    """Traces graphs within for a file: without kernels, and with operations of that runtime."""
    token = _export_runtime.set(runtime)
    try:
        yield
    finally:
        _export_runtime.reset(token)


def export_runtime() -> Runtime | None:
    """Returns the runtime that the current graph is exported to; None if it stays here."""
    return _export_runtime.get()


@contextmanager
def inference_kernels(enabled: bool = True) -> Iterator[None]:
    """Allows kernels in inference graphs that are traced within, or in eager inference.

    Use it around predictions, evaluations and searches whose graph never leaves this process: a
    saved or exported graph with kernels could be loaded by this package only. Without it, only
    training uses kernels, as nobody exports a training step.

    Args:
        enabled: False for a part of such a graph that is faster without kernels.
    """
    token = _inference_kernels.set(enabled)
    try:
        yield
    finally:
        _inference_kernels.reset(token)


@contextmanager
def single_threaded_executor() -> Iterator[None]:
    """Runs the operations of graphs called within one after the other, on this thread.

    Use it around calls of graphs of many small operations, such as searches: TensorFlow's executor
    only gets in the way of kernels, which have threads of their own. It does nothing on a GPU.
    """
    if tf.config.list_logical_devices("GPU"):
        yield
        return
    with private_api.single_threaded_executor():
        yield


def disable_inter_op_parallelism() -> None:
    """Makes TensorFlow run one operation at a time, if kernels can be had, each on all processors.

    Call it before TensorFlow runs its first operation; later it changes nothing.
    """
    if expected() and not tf.config.list_physical_devices("GPU"):
        with suppress(RuntimeError):  # TensorFlow has started
            tf.config.threading.set_inter_op_parallelism_threads(1)


def usable(dtype: tf.DType, training: bool) -> bool:
    """Returns whether an operation on matrices of this dtype can and should be a kernel.

    In training that is where a gradient is recorded: a graph without one may be for a file (dropout
    at inference, an evaluation), or for a caller that compiles it with XLA.
    """
    allowed = (training and gradients_recorded()) or _inference_kernels.get()
    return allowed and available(dtype)


def available(dtype: tf.DType) -> bool:
    """Returns whether an operation on matrices of this dtype can be a kernel."""
    return (
        dtype in TYPES
        and not tf.config.list_logical_devices("GPU")
        and not private_api.in_xla_graph()
        and export_runtime() is None
        and not private_api.is_exporting()
        and load() is not None
    )


def gradients_recorded() -> bool:
    """Returns whether an operation's own gradient is of use, which no exported graph can hold.

    That is in eager mode, and where a tape records a graph that stays in this process.
    """
    return tf.executing_eagerly() or (private_api.may_record() and not private_api.is_exporting())


def supports_int8() -> bool:
    """Returns whether kernels can multiply 8-bit integers in a search on this machine."""
    return INT8_QUADS in compiler_flags() and not tf.config.list_physical_devices("GPU")


def state_dtype(compute_dtype: tf.DType) -> tf.DType:
    """Returns the dtype of states, gates and attention weights: float32 at least."""
    return tf.float64 if compute_dtype == tf.float64 else tf.float32


def in_float32(weight: Any) -> tf.Tensor:
    """Returns a Keras variable's stored value in float32, as kernels take it."""
    return tf.cast(private_api.stored_value(weight), tf.float32)


class PackedWeights:
    """The weights of a model's step, packed once for all steps of a search.

    A weight is packed where it is first needed, which must be before the search's loop; the steps
    in the loop then reuse it. A search keeps this object for as long as it is being traced.

    Args:
        eight_bits: Whether products are made in 8 bits where the processor has AVX-512 VNNI and
            they are at most 2,040 deep (1,984 with AMX): each column of a weight, and each row of
            what it is multiplied with, is rounded to 255 multiples of a scale of its own. Sums are
            exact.

    Example:
        >>> weights = PackedWeights()
        >>> with weights.in_use():
        ...     first = step(tokens, state)
    """

    def __init__(self, eight_bits: bool = False) -> None:
        self.eight_bits = eight_bits
        self._packed: dict[Any, tf.Tensor] = {}
        self._selected: dict[int, tf.Tensor] = {}

    @contextmanager
    def in_use(self) -> Iterator[None]:
        """Makes operations within that advance a decoder by one step use these packed weights."""
        token = _weights_in_use.set(self)
        try:
            yield
        finally:
            _weights_in_use.reset(token)

    def select(self, variable: Any, outputs: tf.Tensor) -> None:
        """Makes steps use some outputs of a weight alone; call it before the first step."""
        self._selected[id(variable)] = outputs

    def selected(self, variable: Any) -> Any:
        """Returns the selected outputs of a weight, or the weight itself if it has none."""
        return self._selected.get(id(variable), variable)

    def pack(
        self,
        variable: Any,
        matrix: tf.Tensor,
        x: tf.Tensor,
        gates: int = 1,
        transposed: bool = False,
    ) -> tf.Tensor:
        """Returns a weight's packed form.

        For few rows it is empty or half as large as the weight, if not in 8 bits.

        Args:
            variable: The weight.
            matrix: Its value in float32, or that of its selected outputs, `(inputs, outputs)`.
            x: `(rows, ...)`, what it is multiplied with at the first step; if bfloat16, the packed
                form is rounded, where this processor gains by it.
            gates: The number of gates whose columns lie side by side.
            transposed: Whether the weight is `(outputs, inputs)`.
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


_weights_in_use: ContextVar[PackedWeights | None] = ContextVar("packed_weights", default=None)


def steps_usable(dtype: tf.DType) -> bool:
    """Returns whether a step of a search should run by kernels of packed weights."""
    return _weights_in_use.get() is not None and available(dtype)


def selected_outputs(weight: Any, dtype: tf.DType) -> Any:
    """Returns a weight, or what a search selected of its outputs, in the given type."""
    weights = _weights_in_use.get()
    selected = weight if weights is None else weights.selected(weight)
    return weight if selected is weight else tf.cast(selected, dtype)


def packed_weights() -> PackedWeights:
    """Returns the packed weights in use, where `steps_usable`."""
    weights = _weights_in_use.get()
    if weights is None:
        raise RuntimeError("no packed weights are in use")
    return weights
