"""The base of the recurrent layers: Keras' layer, whose loop over time may be another."""

from collections.abc import Sequence
from typing import Any

import keras
import tensorflow as tf

from seq2seq.layers.call_recorder import Call, record
from seq2seq.layers.checks import fraction, zoneout_rates
from seq2seq.layers.dropout import Dropout
from seq2seq.ops.dispatch import state_dtype
from seq2seq.ops.plain_recurrence import PlainLayer, plain_recurrence
from seq2seq.ops.recurrent import Cell, Weights, plain_layer, recurrent, recurrent_states
from seq2seq.ops.recurrent_loop import for_each_row
from seq2seq.private_api import stored_value


class Recurrent(keras.layers.Layer):
    """A Keras recurrent layer whose loop over time is `ops.recurrent` where it can be.

    Attributes:
        plain_name: What the messages call equations that the compiled kernels do not know.
    """

    plain_name = "zoneout"

    def __init__(
        self,
        *args: Any,
        weight_dropout: float = 0.0,
        zoneout: float | Sequence[float] = 0.0,
        **kwargs: Any,
    ) -> None:
        super().__init__(*args, **kwargs)
        fraction("weight_dropout", weight_dropout)
        self.zoneout = zoneout_rates(zoneout, len(self.state_size))
        used = {"weight_dropout": weight_dropout > 0, "zoneout": any(self.zoneout)}
        used[self.plain_name] = self.is_plain
        if True in used.values():
            self._refuse_keras_loop(next(name for name, is_used in used.items() if is_used))
        self.weight_dropout = (
            Dropout(weight_dropout, dtype=self.variable_dtype) if weight_dropout else None
        )

    def get_config(self) -> dict[str, Any]:
        """Returns Keras' configuration, and `weight_dropout` and `zoneout` where they are used."""
        extra = {} if self.weight_dropout is None else {"weight_dropout": self.weight_dropout.rate}
        zoneout = {"zoneout": list(self.zoneout)} if any(self.zoneout) else {}
        return {**super().get_config(), **extra, **zoneout}

    def _refuse_keras_loop(self, argument: str) -> None:
        """Raises a ValueError for settings whose loop is Keras'."""
        cell = self.cell
        mask_per_gate = cell.recurrent_dropout > 0 or (cell.dropout and cell.implementation == 1)
        if not self._is_standard or self.unroll or mask_per_gate or self.use_cudnn is True:
            raise ValueError(
                f"{argument}: needs the activations tanh and sigmoid, and neither unroll, "
                "recurrent_dropout nor use_cudnn=True"
            )

    @property
    def is_plain(self) -> bool:
        """Whether the loop over time is `ops.plain_recurrence`, always."""
        return any(self.zoneout)

    def build(self, sequences_shape: Any, initial_state_shape: Any = None) -> None:
        """Makes the weights; an orthogonal matrix is made in float32, as none can in bfloat16."""
        initializer = self.cell.recurrent_initializer
        if self.variable_dtype == "bfloat16":
            self.cell.recurrent_initializer = lambda shape, dtype: tf.cast(
                initializer(shape, dtype="float32"), dtype
            )
        super().build(sequences_shape, initial_state_shape)
        self.cell.recurrent_initializer = initializer

    def call(
        self,
        sequences: tf.Tensor,
        initial_state: Any = None,
        mask: tf.Tensor | None = None,
        training: bool | None = False,
        return_gates: bool = False,
    ) -> Any:
        """Calls Keras' layer or, for `return_gates`, `state_sequences`."""
        if return_gates:
            return self.state_sequences(sequences, initial_state, mask)
        return super().call(sequences, initial_state, mask, training=training)

    def compute_output_spec(self, *args: Any, return_gates: bool = False, **kwargs: Any) -> Any:
        """Returns the symbolic tensors that a call returns."""
        if return_gates:
            return keras.Operation.compute_output_spec(self, *args, return_gates=True, **kwargs)
        return super().compute_output_spec(*args, **kwargs)

    def inner_loop(
        self,
        sequences: tf.Tensor,
        initial_state: list[tf.Tensor],
        mask: Any,
        training: bool | None = False,
    ) -> tuple[tf.Tensor, tf.Tensor, list[tf.Tensor]]:
        """Runs the layer over time; Keras calls this from `call`, with a mask or a list of one.

        Returns:
            The last output, `(batch, units)`; all outputs, `(batch, time, units)`, or the last
            alone, `(batch, 1, units)`, without `return_sequences`; and the last states.
        """
        single_mask = mask[0] if isinstance(mask, list | tuple) else mask
        record(Call(self, sequences, initial_state, single_mask))
        if self.is_plain:
            self._check_shapes(sequences, initial_state, single_mask)
        elif not (
            self.uses_own_loop(bool(training)) and self._fits(sequences, initial_state, single_mask)
        ):
            return super().inner_loop(sequences, initial_state, mask, training=training)
        sequences = tf.cast(sequences, self.compute_dtype)  # Keras casts no integers
        states, mask = tuple(initial_state[: len(self.state_size)]), _two_axes(single_mask)
        if training and 0 < self.cell.dropout < 1:
            sequences *= self.cell.get_dropout_mask(sequences[:, 0])[:, tf.newaxis]
        if self.is_plain:
            outputs, states = self._plain(sequences, states, mask, bool(training))
            hidden = outputs["hidden"] if self.return_sequences else None
            return self._outputs(hidden, states, mask)
        hidden, states = recurrent(
            self.equations,
            sequences,
            self.op_weights(bool(training)),
            states,
            mask,
            return_sequences=self.return_sequences,
            go_backwards=self.go_backwards,
            training=bool(training),
        )
        return self._outputs(hidden, states, mask)

    def state_sequences(
        self,
        sequences: tf.Tensor,
        initial_state: Sequence[tf.Tensor] | None = None,
        mask: tf.Tensor | None = None,
    ) -> dict[str, tf.Tensor]:
        """Returns states and gates of every step, of which Keras returns `h` alone.

        Arguments are as in a call. A masked step keeps the states; its gates are those of its input
        all the same.

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
        if initial_state is None:
            initial_state = self.get_initial_state(tf.shape(sequences)[0])
        states = tuple(tf.convert_to_tensor(state) for state in initial_state)
        self._check_shapes(sequences, states, mask)
        if self.is_plain:
            outputs, _ = self._plain(sequences, states, _two_axes(mask), all_states=True)
            backwards = [1] if self.go_backwards else []
            return {name: tf.reverse(values, backwards) for name, values in outputs.items()}
        return recurrent_states(
            self.equations,
            sequences,
            self.op_weights(),
            states,
            _two_axes(mask),
            self.go_backwards,
        )

    def _plain(
        self,
        sequences: tf.Tensor,
        states: Sequence[tf.Tensor],
        mask: tf.Tensor | None,
        training: bool = False,
        all_states: bool = False,
    ) -> tuple[dict[str, tf.Tensor], tuple[tf.Tensor, ...]]:
        """Runs the layer by `plain_recurrence`; states and gates are in the order of the loop."""
        states = tuple(
            tf.cast(for_each_row(state, sequences, self.units), state_dtype(sequences.dtype))
            for state in states
        )
        if self.go_backwards:
            sequences = tf.reverse(sequences, [1])
            mask = None if mask is None else tf.reverse(mask, [1])
        stay: list[Any] = list(self.zoneout)
        if training:
            batch, time = keras.ops.shape(sequences)[:2]
            for number, rate in enumerate(self.zoneout):
                if rate:
                    shape, seed = (batch, time, self.units), self.cell.seed_generator
                    uniform = keras.random.uniform(shape, dtype="float32", seed=seed)
                    stay[number] = tf.cast(uniform < rate, states[0].dtype)
        layer = self.plain_layer(sequences, training)
        outputs, states = self.plain_loop(layer, states, mask, stay, all_states)
        for values in outputs.values():
            values.set_shape((None, sequences.shape[1], None))
        return outputs, states

    def plain_loop(
        self,
        layer: PlainLayer,
        states: tuple[tf.Tensor, ...],
        mask: tf.Tensor | None,
        stay: Sequence[tf.Tensor | float],
        all_states: bool,
    ) -> tuple[dict[str, tf.Tensor], tuple[tf.Tensor, ...]]:
        """Runs the steps; see `plain_recurrence`."""
        return plain_recurrence(layer, states, mask, stay, all_states)

    def plain_layer(self, sequences: tf.Tensor, training: bool = False) -> PlainLayer:
        """Returns the equations for an input; in training some recurrent weights are dropped."""
        return plain_layer(self.equations, sequences, self.op_weights(training))

    @property
    def equations(self) -> Cell:
        """The name of the layer's equations."""
        if isinstance(self, keras.layers.LSTM):
            return "lstm"
        return "gru" if self.cell.reset_after else "gru_reset_before"

    def op_weights(self, training: bool = False) -> Weights:
        """Returns the weights for `ops.recurrent`; in training some recurrent ones are dropped."""
        cell = self.cell
        recurrent_kernel = cell.recurrent_kernel
        if self.weight_dropout is not None and training:
            stored = stored_value(recurrent_kernel)
            recurrent_kernel = tf.cast(self.weight_dropout(stored, training=True), stored.dtype)
        return Weights(cell.kernel, recurrent_kernel, cell.bias if cell.use_bias else None)

    def uses_own_loop(self, training: bool) -> bool:
        """Returns whether Keras' loop is neither the faster one nor the only one."""
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
        """Returns whether shapes are what `ops.recurrent` takes, as far as they are known.

        All else is left to Keras, which broadcasts or raises.
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

    def _check_shapes(
        self, sequences: tf.Tensor, states: Sequence[tf.Tensor], mask: tf.Tensor | None
    ) -> None:
        """Raises a ValueError if shapes are not what `ops.recurrent` takes."""
        if not self._fits(sequences, states, mask):
            raise ValueError(
                f"{self.name}: sequences {sequences.shape}, states "
                f"{[tuple(state.shape) for state in states]} and mask "
                f"{None if mask is None else mask.shape} do not fit each other or the layer, which "
                f"takes {self.cell.kernel.shape[0]} features and has {self.units} units"
            )

    @property
    def _is_standard(self) -> bool:
        """Whether the activations are those of `ops.recurrent`."""
        return (
            self.cell.activation is keras.activations.tanh
            and self.cell.recurrent_activation is keras.activations.sigmoid
        )

    def _outputs(
        self, hidden: tf.Tensor | None, states: tuple[tf.Tensor, ...], mask: tf.Tensor | None
    ) -> tuple[tf.Tensor, tf.Tensor, list[tf.Tensor]]:
        """Returns what `inner_loop` returns.

        Where a step is masked, Keras repeats the output before it, that is `h`, but starts from
        zeros and not from the initial state; or it puts zeros there (`zero_output_for_mask`).
        """
        last = states[0]
        if mask is not None:
            mask = tf.reverse(mask, [1]) if self.go_backwards else mask
            if not self.zero_output_for_mask:
                mask = tf.cumsum(tf.cast(mask, tf.int32), axis=1) > 0  # true from the first step on
            last = tf.where(mask[:, -1:], last, tf.zeros_like(last))
            if hidden is not None:
                hidden = tf.where(tf.expand_dims(mask, -1), hidden, tf.zeros_like(hidden))
        return last, (last[:, tf.newaxis] if hidden is None else hidden), list(states)


def _two_axes(mask: tf.Tensor | None) -> tf.Tensor | None:
    """Returns a mask, `(batch, time)` or `(batch, time, 1)`, as booleans `(batch, time)`."""
    if mask is None:
        return None
    mask = tf.cast(mask, tf.bool)
    return mask[..., 0] if mask.shape.rank == 3 else mask
