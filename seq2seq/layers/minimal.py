"""minGRU and minLSTM, recurrent layers that compute all steps at once (Feng et al., 2024)."""

from abc import abstractmethod
from collections.abc import Sequence
from typing import Any, ClassVar, Self

import keras
import tensorflow as tf

from seq2seq.layers.recurrent_base import Recurrent
from seq2seq.ops.dispatch import export_runtime, state_dtype
from seq2seq.ops.minimal_recurrence import (
    Coefficients,
    CoefficientsOf,
    min_gru,
    min_lstm,
    minimal_layer,
    parallel_recurrence,
)
from seq2seq.ops.plain_recurrence import PlainLayer, plain_recurrence
from seq2seq.private_api import stored_value


class _MinimalCell(keras.layers.Layer):
    """The weights of a minimal layer, and one step of it."""

    dropout = 0.0  # of the inputs, as Keras' cells have it

    def __init__(
        self,
        coefficients: CoefficientsOf,
        units: int,
        gates: int,
        use_bias: bool,
        kernel_initializer: Any,
        bias_initializer: Any,
        seed: int | None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.coefficients, self.units, self.gates = coefficients, units, gates
        self.use_bias, self.seed = use_bias, seed
        self.kernel_initializer = keras.initializers.get(kernel_initializer)
        self.bias_initializer = keras.initializers.get(bias_initializer)
        self.seed_generator = keras.random.SeedGenerator(seed)
        self.state_size = self.output_size = units

    def get_config(self) -> dict[str, Any]:
        """Returns the number of units; the layer makes the cell."""
        return {**super().get_config(), "units": self.units}

    def build(self, input_shape: Any) -> None:
        """Makes the weights."""
        width = self.gates * self.units
        self.kernel = self.add_weight(
            (input_shape[-1], width), self.kernel_initializer, name="kernel"
        )
        self.bias = (
            self.add_weight((width,), self.bias_initializer, name="bias") if self.use_bias else None
        )

    def layer(self, sequences: tf.Tensor) -> PlainLayer:
        """Returns the equations for an input, `(batch, time, features)`."""
        kernel, bias = (
            None if weight is None else tf.cast(stored_value(weight), sequences.dtype)
            for weight in (self.kernel, self.bias)
        )
        return minimal_layer(
            self.coefficients, kernel, bias, sequences, state_dtype(sequences.dtype)
        )

    def call(self, inputs: tf.Tensor, states: Any) -> tuple[tf.Tensor, list[tf.Tensor]]:
        """Makes one step from `(batch, features)`, with the protocol of Keras' cells."""
        layer = self.layer(inputs[:, tf.newaxis])
        (hidden,), _ = layer.step(layer.projected[:, 0], tuple(states))
        return hidden, [hidden]


class _Minimal(Recurrent, keras.layers.RNN):
    """A layer whose gates depend on the input alone; its one state is `h`.

    Args:
        units: The units.
        use_bias: Whether the gates have a bias.
        kernel_initializer: That of the kernel, `(features, gates * units)`.
        bias_initializer: That of the bias.
        seed: Of zoneout.
        zoneout: As that of `LSTM`; the steps are then a loop.
    """

    gates: ClassVar[int]
    equations: ClassVar[str]  # type: ignore[assignment]

    def __init__(
        self,
        units: int,
        use_bias: bool = True,
        kernel_initializer: Any = "glorot_uniform",
        bias_initializer: Any = "zeros",
        seed: int | None = None,
        zoneout: float | Sequence[float] = 0.0,
        **kwargs: Any,
    ) -> None:
        cell = _MinimalCell(
            self.coefficients,
            units,
            self.gates,
            use_bias,
            kernel_initializer,
            bias_initializer,
            seed,
            dtype=kwargs.get("dtype"),
            name=f"{self.equations}_cell",
        )
        super().__init__(cell, zoneout=zoneout, **kwargs)

    def get_config(self) -> dict[str, Any]:
        """Returns the arguments of the constructor."""
        config = super().get_config()
        del config["cell"]
        initializers = {
            name: keras.initializers.serialize(getattr(self.cell, name))
            for name in ("kernel_initializer", "bias_initializer")
        }
        cell = self.cell
        own = {"units": cell.units, "use_bias": cell.use_bias, "seed": cell.seed}
        return {**config, **own, **initializers}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Self:
        """Makes the layer from its configuration."""
        return cls(**config)

    def build(self, sequences_shape: Any, initial_state_shape: Any = None) -> None:
        """Makes the weights."""
        keras.layers.RNN.build(self, sequences_shape, initial_state_shape)

    @staticmethod
    @abstractmethod
    def coefficients(projected: tf.Tensor) -> Coefficients:
        """Returns the coefficients of all steps, of the projected input."""

    @property
    def units(self) -> int:
        """The number of units."""
        return self.cell.units

    @property
    def is_plain(self) -> bool:
        """Whether the compiled kernels do not know the layer, always."""
        return True

    @property
    def _is_standard(self) -> bool:
        return True

    def uses_own_loop(self, training: bool) -> bool:
        """Returns whether Keras' loop is not used, always."""
        return True

    def _refuse_keras_loop(self, argument: str) -> None:
        if argument == "weight_dropout":
            raise ValueError(
                f"weight_dropout: drops recurrent weights, and {self.equations} has none; use "
                "dropout or zoneout"
            )
        if self.unroll:
            raise ValueError(f"unroll: {self.equations} has no loop of Keras to unroll")

    def plain_layer(self, sequences: tf.Tensor, training: bool = False) -> PlainLayer:
        """Returns the equations for an input."""
        return self.cell.layer(sequences)

    def plain_loop(
        self,
        layer: PlainLayer,
        states: tuple[tf.Tensor, ...],
        mask: tf.Tensor | None,
        stay: Sequence[tf.Tensor | float],
        all_states: bool,
    ) -> tuple[dict[str, tf.Tensor], tuple[tf.Tensor, ...]]:
        """Computes all steps at once; in a loop with zoneout, and for runtimes without the scan."""
        if any(self.zoneout) or export_runtime() not in (None, "tensorflow"):
            return plain_recurrence(layer, states, mask, stay, all_states)
        coefficients = self.coefficients(layer.projected)
        hidden = parallel_recurrence(coefficients, states[0], mask)
        outputs = {"hidden": hidden} | (coefficients.gates if all_states else {})
        return outputs, (hidden[:, -1],)


@keras.saving.register_keras_serializable(package="seq2seq")
class MinGRU(_Minimal):
    """minGRU (Feng et al., 2024, https://arxiv.org/abs/2410.01201): a GRU in one scan over time.

    Its gate and its candidate depend on the input alone, so that the states of all steps follow at
    once; see `ops.minimal_recurrence`. Its state is `[h]`, and masks, `initial_state`,
    `go_backwards` and `stateful` are as in `GRU`. Alone, one layer cannot tell the order of steps
    by what came before; stack two or more.

    Example:
        >>> gru = MinGRU(512, return_sequences=True, return_state=True)
        >>> outputs, state_h = gru(np.zeros((64, 20, 256)))
    """

    gates = 2
    equations = "min_gru"

    @staticmethod
    def coefficients(projected: tf.Tensor) -> Coefficients:
        """Returns the coefficients of all steps; see `ops.minimal_recurrence.min_gru`."""
        return min_gru(projected)


@keras.saving.register_keras_serializable(package="seq2seq")
class MinLSTM(_Minimal):
    """minLSTM (Feng et al., 2024, https://arxiv.org/abs/2410.01201): an LSTM in one scan over time.

    Forget and input gate, which add up to 1, and the candidate depend on the input alone; there is
    no cell state beside `h`, and no output gate. See `MinGRU`.

    Example:
        >>> lstm = MinLSTM(512, return_sequences=True, return_state=True)
        >>> outputs, state_h = lstm(np.zeros((64, 20, 256)))
    """

    gates = 3
    equations = "min_lstm"

    @staticmethod
    def coefficients(projected: tf.Tensor) -> Coefficients:
        """Returns the coefficients of all steps; see `ops.minimal_recurrence.min_lstm`."""
        return min_lstm(projected)
