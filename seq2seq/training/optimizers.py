"""Adam and AdamW: Keras' own, with the update of a variable as one operation."""

from collections.abc import Sequence
from typing import Any

import keras
import tensorflow as tf

from seq2seq.kernels.clipping import clip_by_global_norm
from seq2seq.kernels.slices import dense_gradient


@keras.saving.register_keras_serializable(package="seq2seq")
class Adam(keras.optimizers.Adam):
    """`keras.optimizers.Adam`, faster: same arguments, state and results.

    The update of a variable, and clipping by global norm, are one operation each. Gradients of
    embeddings are made dense once: Adam moves every row at every step, whether it has a gradient
    or not.

    Example:
        >>> Adam(learning_rate=1e-3, global_clipnorm=1.0)
    """

    def _clip_gradients(self, grads: Sequence[Any]) -> list[tf.Tensor | None]:
        dense = [None if grad is None else dense_gradient(grad) for grad in grads]
        if self.clipnorm or not self.global_clipnorm:
            return super()._clip_gradients(dense)
        clipped = iter(
            clip_by_global_norm([d for d in dense if d is not None], self.global_clipnorm)
        )
        return [None if grad is None else next(clipped) for grad in dense]

    def _backend_update_step(
        self, grads: Sequence[tf.Tensor], trainable_variables: Sequence[Any], learning_rate: Any
    ) -> None:
        if self.amsgrad or tf.distribute.has_strategy():
            super()._backend_update_step(grads, trainable_variables, learning_rate)
            return
        step = tf.cast(self.iterations + 1, tf.float32)
        numbers = {  # computed once for all variables
            "beta1_power": tf.pow(self.beta_1, step),
            "beta2_power": tf.pow(self.beta_2, step),
            "lr": tf.convert_to_tensor(learning_rate),
            "beta1": self.beta_1,
            "beta2": self.beta_2,
            "epsilon": self.epsilon,
        }
        for gradient, variable in zip(grads, trainable_variables, strict=True):
            index = self._get_variable_index(variable)
            dtype = tf.as_dtype(variable.dtype)
            tf.raw_ops.ResourceApplyAdam(
                var=variable.value.handle,
                m=self._momentums[index].value.handle,
                v=self._velocities[index].value.handle,
                **{name: tf.cast(number, dtype) for name, number in numbers.items()},
                grad=tf.cast(gradient, dtype),
                use_locking=True,
            )


@keras.saving.register_keras_serializable(package="seq2seq")
class AdamW(Adam, keras.optimizers.AdamW):
    """`keras.optimizers.AdamW`, faster: same arguments, state and results."""
