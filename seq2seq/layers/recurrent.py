"""LSTM and GRU: Keras' own layers, faster.

`LSTM` and `GRU` are `keras.layers.LSTM` and `keras.layers.GRU` in everything but speed: arguments,
weights, configuration, states (`[h, c]`, `[h]`), masks and results are Keras'. Weights files can be
exchanged in both directions. One argument is more: `weight_dropout`.
"""

from collections.abc import Sequence
from functools import partial
from typing import Any, Literal

import keras
import tensorflow as tf

from seq2seq.kernels.library import usable
from seq2seq.kernels.recurrent import recurrent_layer
from seq2seq.kernels.steps import recurrent_step, steps_usable
from seq2seq.kernels.stored_weights import widened
from seq2seq.layers.checks import fraction
from seq2seq.layers.dropout import Dropout
from seq2seq.layers.recording import Call, record
from seq2seq.layers.recurrent_base import RecurrentBase
from seq2seq.layers.recurrent_kernels import traced_scan
from seq2seq.layers.recurrent_loop import (
    LoopWeights,
    gru_loop_weights,
    in_order,
    layer_reference,
    project,
    run_loop,
)
from seq2seq.layers.recurrent_steps import GRUResetBeforeStep, LSTMStep, Tensors, state_dtype


class _CompiledLoop(RecurrentBase):
    """Replaces the loop over time of a Keras recurrent layer, where it can."""

    def __init__(self, *args: Any, weight_dropout: float = 0.0, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        fraction("weight_dropout", weight_dropout)
        keras_only = not self._is_standard or self.unroll or self.cell.recurrent_dropout > 0
        if weight_dropout and (keras_only or self.use_cudnn is True):
            raise ValueError(
                "weight_dropout: needs the activations tanh and sigmoid, and neither unroll, "
                "recurrent_dropout nor use_cudnn=True"
            )
        self.weight_dropout = (
            Dropout(weight_dropout, dtype=self.variable_dtype) if weight_dropout else None
        )

    def get_config(self) -> dict[str, Any]:
        """Returns Keras' configuration, and `weight_dropout` where it is more than Keras knows."""
        more = {} if self.weight_dropout is None else {"weight_dropout": self.weight_dropout.rate}
        return {**super().get_config(), **more}

    def inner_loop(
        self,
        sequences: tf.Tensor,
        initial_state: list[tf.Tensor],
        mask: Any,
        training: bool | None = False,
    ) -> tuple[tf.Tensor, tf.Tensor, list[tf.Tensor]]:
        """Runs the layer over time; Keras calls this from `call`.

        Args:
            sequences: `(batch, time, features)`.
            initial_state: The states to start from, `(batch, units)` each.
            mask: Booleans, `(batch, time)` or `(batch, time, 1)`, or `None`, or a list of one.
            training: Whether to apply dropout and to save what the gradient needs.

        Returns:
            The last output, `(batch, units)`; all outputs, `(batch, time, units)`, or the last
            alone, `(batch, 1, units)`, without `return_sequences`; and the last states.
        """
        one_mask = mask[0] if isinstance(mask, list | tuple) else mask
        record(Call(self, sequences, initial_state, one_mask))
        if not self.uses_own_loop(bool(training)) or not self._fits(
            sequences, initial_state, one_mask
        ):
            return super().inner_loop(sequences, initial_state, mask, training=training)
        sequences = tf.cast(sequences, self.compute_dtype)  # Keras casts no integers
        initial_state, mask = initial_state[: len(self.state_size)], _of_two_axes(one_mask)
        if training and 0 < self.cell.dropout < 1:
            sequences *= self.cell.get_dropout_mask(sequences[:, 0])[:, tf.newaxis]
        kernel_cell = self.kernel_cell
        one_step = sequences.shape[1] == 1 and mask is None
        if kernel_cell is not None and one_step and steps_usable(sequences.dtype):
            return self._step(kernel_cell, sequences, initial_state)
        dtype = state_dtype(sequences.dtype)
        states = tuple(tf.cast(state, dtype) for state in initial_state)
        if kernel_cell is not None and usable(sequences.dtype, bool(training)):
            hidden, states = self._run_kernel(kernel_cell, sequences, states, mask, bool(training))
        else:
            hidden, states = self._run_loop(sequences, states, mask, bool(training))
        return self._outputs(hidden, states, mask)

    def state_sequences(
        self,
        sequences: tf.Tensor,
        initial_state: Sequence[tf.Tensor] | None = None,
        mask: tf.Tensor | None = None,
    ) -> dict[str, tf.Tensor]:
        """Returns states and gates of every step, of which Keras returns `h` alone.

        A masked step keeps the states; its gates are those of its input all the same.

        Args:
            sequences: `(batch, time, features)`.
            initial_state: The states to start from, `(batch, units)` each; `None` for zeros.
            mask: Booleans, `(batch, time)`, or `None`.

        Returns:
            By name, float32 `(batch, time, units)` each, at the places of the inputs, also with
            `go_backwards`: `hidden`, `cell` (LSTM), and the gates: `input_gate`, `forget_gate`,
            `candidate` and `output_gate` of an LSTM; `update_gate`, `reset_gate` and `candidate`
            of a GRU.

        Raises:
            ValueError: If the activations are not tanh and sigmoid, or shapes do not fit.
        """
        if keras.utils.is_keras_tensor(sequences):
            return self(sequences, initial_state=initial_state, mask=mask, return_gates=True)
        if not self._is_standard:
            raise ValueError(f"{self.name}: states are known with tanh and sigmoid only")
        if not self.built:
            self.build(sequences.shape)
        sequences = tf.cast(sequences, self.compute_dtype)
        dtype = state_dtype(sequences.dtype)
        if initial_state is None:
            initial_state = self.get_initial_state(tf.shape(sequences)[0])
        states = tuple(tf.cast(state, dtype) for state in initial_state)
        if not self._fits(sequences, states, mask):
            raise ValueError(
                f"{self.name}: sequences {sequences.shape}, states "
                f"{[tuple(state.shape) for state in states]} and mask "
                f"{None if mask is None else mask.shape} do not fit each other or the layer, which "
                f"takes {self.cell.kernel.shape[0]} features and has {self.units} units"
            )
        mask = _of_two_axes(mask)
        if mask is not None:
            mask = in_order(mask, self.go_backwards)
        weights = self._loop_weights()
        projected = project(in_order(sequences, self.go_backwards), weights.kernel, weights.bias)
        found = traced_scan(weights.step, projected, states, weights.recurrent, mask)
        return {
            name: tf.transpose(tf.reverse(values, [0]) if self.go_backwards else values, (1, 0, 2))
            for name, values in found.items()
        }

    @property
    def kernel_cell(self) -> Literal["lstm", "gru"] | None:
        """The compiled kernel that does the same, if there is one."""
        raise NotImplementedError

    def _run_kernel(
        self,
        kernel_cell: Literal["lstm", "gru"],
        sequences: tf.Tensor,
        states: Tensors,
        mask: tf.Tensor | None,
        training: bool,
    ) -> tuple[tf.Tensor | None, Tensors]:
        """Runs the layer as one operation."""
        way = {"return_sequences": self.return_sequences, "go_backwards": self.go_backwards}
        weights = self.kernel_weights(kernel_cell, training)
        reference = partial(layer_reference, kernel_cell, **way)
        return recurrent_layer(
            kernel_cell, sequences, weights, states, mask, reference=reference, **way
        )

    def _step(
        self, kernel_cell: Literal["lstm", "gru"], sequences: tf.Tensor, before: list[tf.Tensor]
    ) -> tuple[tf.Tensor, tf.Tensor, list[tf.Tensor]]:
        """Goes one step on, with weights that are packed once for all; returns as `inner_loop`."""
        kernels = self.cell.kernel, self.cell.recurrent_kernel
        states = tuple(tf.cast(state, sequences.dtype) for state in before)
        states = recurrent_step(
            kernel_cell, sequences[:, 0], kernels, self._biases(kernel_cell), states
        )
        return states[0], states[0][:, tf.newaxis], list(states)

    def kernel_weights(
        self, kernel_cell: Literal["lstm", "gru"], training: bool | None = False
    ) -> Tensors:
        """Returns the weights as kernels want them, see `kernels.recurrent.recurrent_layer`."""
        recurrent_kernel = self._thinned(widened(self.cell.recurrent_kernel), training)
        return widened(self.cell.kernel), recurrent_kernel, *self._biases(kernel_cell)

    def _biases(self, kernel_cell: Literal["lstm", "gru"]) -> Tensors:
        """Returns the biases as kernels want them."""
        cell = self.cell
        if not cell.use_bias:
            return (tf.zeros(cell.kernel.shape[-1]),)
        bias = widened(cell.bias)
        return tuple(tf.unstack(bias)) if kernel_cell == "gru" else (bias,)

    def _run_loop(
        self, sequences: tf.Tensor, states: Tensors, mask: tf.Tensor | None, training: bool
    ) -> tuple[tf.Tensor | None, Tensors]:
        """Runs the layer as a compiled loop of TensorFlow's operations."""
        return run_loop(
            self._loop_weights(training),
            sequences,
            states,
            mask,
            return_sequences=self.return_sequences,
            go_backwards=self.go_backwards,
            training=training,
        )

    def uses_own_loop(self, training: bool) -> bool:
        """Returns whether Keras' own loop is neither the faster one nor the only one."""
        if self.weight_dropout is not None and training:
            return True
        cell = self.cell
        mask_per_gate = training and (
            cell.recurrent_dropout > 0 or (cell.dropout > 0 and cell.implementation == 1)
        )
        has_cudnn = self.use_cudnn == "auto" and bool(tf.config.list_logical_devices("GPU"))
        uses_cudnn = has_cudnn and cell.use_bias and getattr(cell, "reset_after", True)
        own = self._is_standard and not self.unroll and self.use_cudnn is not True
        return own and not mask_per_gate and not uses_cudnn

    def _fits(
        self, sequences: tf.Tensor, states: Sequence[tf.Tensor], mask: tf.Tensor | None
    ) -> bool:
        """Returns whether shapes are what our loops take, as far as they are known.

        All else is left to Keras, which broadcasts or raises. What is not known before a graph
        runs is checked there.
        """
        batch, time = sequences.shape[:2]
        rows = (batch,) if batch is None else (batch, 1)

        def is_among(tensor: tf.Tensor, *shapes: tuple[int | None, ...]) -> bool:
            shape = tf.TensorShape(tensor.shape)
            return shape.rank is not None and any(map(shape.is_compatible_with, shapes))

        return (
            is_among(sequences, (None, None, self.cell.kernel.shape[0]))
            and len(states) >= len(self.state_size)
            and all(is_among(state, *((row, self.units) for row in rows)) for state in states)
            and (
                mask is None
                or is_among(mask, *((row, time, *last) for row in rows for last in ((), (1,))))
            )
        )

    @property
    def _is_standard(self) -> bool:
        """Whether the activations are those that our steps have."""
        return (
            self.cell.activation is keras.activations.tanh
            and self.cell.recurrent_activation is keras.activations.sigmoid
        )

    def _outputs(
        self, hidden: tf.Tensor | None, states: Tensors, mask: tf.Tensor | None
    ) -> tuple[tf.Tensor, tf.Tensor, list[tf.Tensor]]:
        """Returns what `inner_loop` returns.

        Where a step is masked, Keras repeats the output before it, that is `h`, but starts from
        zeros and not from the initial state; or it puts zeros there (`zero_output_for_mask`).
        """
        last = states[0]
        if mask is not None:
            mask = tf.reverse(mask, [1]) if self.go_backwards else mask
            visible = mask if self.zero_output_for_mask else _any_so_far(mask)
            last = tf.where(visible[:, -1:], last, tf.zeros_like(last))
            if hidden is not None:
                hidden = tf.where(visible[:, :, tf.newaxis], hidden, tf.zeros_like(hidden))
        return last, (last[:, tf.newaxis] if hidden is None else hidden), list(states)

    def _thinned(self, weights: tf.Tensor, training: bool | None) -> tf.Tensor:
        """Returns recurrent weights, some of them zero in training: the same at each step."""
        if self.weight_dropout is None:
            return weights
        return tf.cast(self.weight_dropout(weights, training=training), weights.dtype)

    def _loop_weights(self, training: bool = False) -> LoopWeights:
        """Returns the maths of a step and its weights, in the compute dtype."""
        raise NotImplementedError


@keras.saving.register_keras_serializable(package="seq2seq")
class LSTM(_CompiledLoop, keras.layers.LSTM):
    """Long short-term memory: `keras.layers.LSTM`, faster.

    It takes the arguments of `keras.layers.LSTM`, has its weights and returns its results. On a
    CPU the loop over time is our own if the activations are tanh and sigmoid, it is not unrolled,
    and no recurrent dropout is applied. With cuDNN, and in all other cases, the loop is Keras'.
    cuDNN refuses masks other than right padding and rows that are all padding; `use_cudnn=False`
    takes our loop on a GPU too, and that takes any mask.

    Args:
        weight_dropout: Share of the recurrent weights that are zero for a training batch, the same
            ones at each of its steps (DropConnect; Merity et al., 2017,
            https://arxiv.org/abs/1708.02182). Keras' layer has no such argument; all others are
            its own. Needs activations of tanh and sigmoid, and no recurrent dropout.

    Example:
        >>> lstm = LSTM(512, return_sequences=True, return_state=True)
        >>> outputs, state_h, state_c = lstm(np.zeros((64, 20, 256)))
    """

    @property
    def kernel_cell(self) -> Literal["lstm", "gru"] | None:
        """The compiled kernel that does the same."""
        return "lstm"

    def _loop_weights(self, training: bool = False) -> LoopWeights:
        cell = self.cell
        bias = tf.convert_to_tensor(cell.bias) if cell.use_bias else None
        recurrent = self._thinned(tf.convert_to_tensor(cell.recurrent_kernel), training)
        return LoopWeights(LSTMStep(), tf.convert_to_tensor(cell.kernel), bias, (recurrent,))


@keras.saving.register_keras_serializable(package="seq2seq")
class GRU(_CompiledLoop, keras.layers.GRU):
    """Gated recurrent unit: `keras.layers.GRU`, faster.

    It takes the arguments of `keras.layers.GRU`, has its weights and returns its results, for both
    values of `reset_after`. `LSTM` tells when the loop is our own, and of `weight_dropout`.

    Example:
        >>> gru = GRU(512, return_sequences=True, return_state=True)
        >>> outputs, state_h = gru(np.zeros((64, 20, 256)))
    """

    @property
    def kernel_cell(self) -> Literal["lstm", "gru"] | None:
        """The compiled kernel that does the same, if there is one."""
        return "gru" if self.cell.reset_after else None

    def _loop_weights(self, training: bool = False) -> LoopWeights:
        cell, units = self.cell, self.units
        kernel = tf.convert_to_tensor(cell.kernel)
        recurrent = self._thinned(tf.convert_to_tensor(cell.recurrent_kernel), training)
        bias = tf.convert_to_tensor(cell.bias) if cell.use_bias else None
        if not cell.reset_after:
            weights = tuple(tf.split(recurrent, [2 * units, units], axis=1))
            return LoopWeights(GRUResetBeforeStep(), kernel, bias, weights)
        if bias is None:
            return gru_loop_weights(kernel, recurrent, None, None)
        return gru_loop_weights(kernel, recurrent, bias[0], bias[1])


def _any_so_far(mask: tf.Tensor) -> tf.Tensor:
    """Returns whether a row of the mask, `(batch, time)`, has been true up to each step."""
    return tf.cumsum(tf.cast(mask, tf.int32), axis=1) > 0


def _of_two_axes(mask: tf.Tensor | None) -> tf.Tensor | None:
    """Returns a mask, `(batch, time)` or `(batch, time, 1)`, as booleans `(batch, time)`."""
    if mask is None:
        return None
    mask = tf.cast(mask, tf.bool)
    return mask[..., 0] if mask.shape.rank == 3 else mask
