"""An LSTM with layer normalisation."""

from typing import Any

import keras
import tensorflow as tf

from seq2seq.layers.recurrent import LSTM
from seq2seq.ops.dispatch import state_dtype
from seq2seq.ops.plain_recurrence import LayerNormWeights, PlainLayer, layer_norm_lstm
from seq2seq.private_api import stored_value


@keras.saving.register_keras_serializable(package="seq2seq")
class LayerNormLSTM(LSTM):
    """LSTM with layer normalisation of each gate and of the cell state (Ba et al., 2016).

    The products of each gate with the input and with the state before are normalised over the
    units, each with a gain of its own, and so is the cell state on its way to the output; see
    `ops.plain_recurrence.layer_norm_lstm`. Arguments, states and masks are those of `LSTM`; the
    loop over time is TensorFlow's, which is slower than the compiled kernels.

    Example:
        >>> lstm = LayerNormLSTM(512, return_sequences=True, return_state=True)
        >>> outputs, state_h, state_c = lstm(np.zeros((64, 20, 256)))
    """

    plain_name = "layer normalisation"

    @property
    def is_plain(self) -> bool:
        """Whether the loop over time is `ops.plain_recurrence`, always."""
        return True

    def build(self, sequences_shape: Any, initial_state_shape: Any = None) -> None:
        """Makes the weights."""
        gates = (4 * self.units,)
        self.kernel_gain = self.add_weight(gates, "ones", name="kernel_gain")
        self.recurrent_gain = self.add_weight(gates, "ones", name="recurrent_gain")
        self.cell_gain = self.add_weight((self.units,), "ones", name="cell_gain")
        self.cell_offset = self.add_weight((self.units,), "zeros", name="cell_offset")
        super().build(sequences_shape, initial_state_shape)

    def plain_layer(self, sequences: tf.Tensor, training: bool = False) -> PlainLayer:
        """Returns the equations for an input."""
        norms = (self.kernel_gain, self.recurrent_gain, self.cell_gain, self.cell_offset)
        weights = LayerNormWeights(
            *(
                None if weight is None else tf.cast(stored_value(weight), sequences.dtype)
                for weight in self.op_weights(training)
            ),
            *map(stored_value, norms),
        )
        return layer_norm_lstm(weights, sequences, state_dtype(sequences.dtype))
