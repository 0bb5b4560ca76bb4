"""An LSTM whose input and state gate each other before each step."""

from typing import Any

import keras
import tensorflow as tf

from seq2seq.layers.checks import positive
from seq2seq.layers.recurrent import LSTM
from seq2seq.ops.dispatch import state_dtype
from seq2seq.ops.mogrifier import mogrifier_lstm
from seq2seq.ops.plain_recurrence import PlainLayer
from seq2seq.ops.recurrent import Weights
from seq2seq.private_api import stored_value


@keras.saving.register_keras_serializable(package="seq2seq")
class MogrifierLSTM(LSTM):
    """Mogrifier LSTM (Melis et al., 2020, https://arxiv.org/abs/1909.01792).

    Before each step, the input is scaled by a gate that depends on the state, then the state by one
    that depends on the input, and so on, `rounds` times; see `ops.mogrifier.mogrifier_lstm`.
    Arguments, states and masks are those of `LSTM`; the loop over time is TensorFlow's, and the
    product with the input is part of it, so that it is the slowest of the cells.

    Args:
        rounds: The number of gates before each step, at least 1.

    Example:
        >>> lstm = MogrifierLSTM(512, return_sequences=True, return_state=True)
        >>> outputs, state_h, state_c = lstm(np.zeros((64, 20, 256)))
    """

    plain_name = "MogrifierLSTM"

    def __init__(self, *args: Any, rounds: int = 5, **kwargs: Any) -> None:
        positive("rounds", rounds)
        self.rounds = rounds
        super().__init__(*args, **kwargs)

    def get_config(self) -> dict[str, Any]:
        """Returns the arguments of the constructor."""
        return {**super().get_config(), "rounds": self.rounds}

    @property
    def is_plain(self) -> bool:
        """Whether the loop over time is `ops.plain_recurrence`, always."""
        return True

    def build(self, sequences_shape: Any, initial_state_shape: Any = None) -> None:
        """Makes the weights."""
        shape = (self.units, sequences_shape[-1])
        self.round_kernels = [
            self.add_weight(shape[:: -1 if n % 2 else 1], "glorot_uniform", name=f"round_{n + 1}")
            for n in range(self.rounds)
        ]
        super().build(sequences_shape, initial_state_shape)

    def plain_layer(self, sequences: tf.Tensor, training: bool = False) -> PlainLayer:
        """Returns the equations for an input."""

        def cast(weight: Any) -> tf.Tensor:
            return tf.cast(stored_value(weight), sequences.dtype)

        own = (None if weight is None else cast(weight) for weight in self.op_weights(training))
        rounds = [cast(weight) for weight in self.round_kernels]
        return mogrifier_lstm(Weights(*own), rounds, sequences, state_dtype(sequences.dtype))
