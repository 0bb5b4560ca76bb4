"""What Keras asks of a recurrent layer beside its loop: weights of any type, symbolic calls."""

from typing import Any

import keras
import tensorflow as tf


class RecurrentBase(keras.layers.Layer):
    """Builds a Keras recurrent layer, and calls it for its outputs or for all its states."""

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
        """Returns what symbolic tensors a call gives."""
        if return_gates:
            return keras.Operation.compute_output_spec(self, *args, return_gates=True, **kwargs)
        return super().compute_output_spec(*args, **kwargs)
