"""Adam and AdamW: Keras' optimizers with a fused update."""

from collections.abc import Sequence
from typing import Any

import keras
import tensorflow as tf

from seq2seq.kernels.library import available
from seq2seq.kernels.updates import adam_step, clipping_scale, merged


@keras.saving.register_keras_serializable(package="seq2seq")
class Adam(keras.optimizers.Adam):
    """`keras.optimizers.Adam`, faster: same arguments, state and results.

    With kernels, a step reads and writes each variable and its moments once, clipping by global
    norm included, and gradients of embeddings stay sparse. Without kernels, with `clipnorm` or
    `clipvalue`, and with gradient accumulation, the update of a variable is TensorFlow's fused op;
    with `amsgrad`, and under a distribution strategy, it is Keras' own.

    Example:
        >>> Adam(learning_rate=1e-3, global_clipnorm=1.0)
    """

    def _fused(self) -> bool:
        unsupported = self.amsgrad or self.clipnorm or self.clipvalue
        return (
            not (unsupported or self.gradient_accumulation_steps or tf.distribute.has_strategy())
            and all(variable.dtype == "float32" for variable in self._trainable_variables)
            and available(tf.float32)
        )

    def _clip_gradients(self, grads: Sequence[Any]) -> list[Any]:
        if self._fused():
            return list(grads)  # clipped by the update
        return super()._clip_gradients([tf.convert_to_tensor(grad) for grad in grads])

    def _backend_update_step(
        self, grads: Sequence[Any], trainable_variables: Sequence[Any], learning_rate: Any
    ) -> None:
        if not self._fused():
            super()._backend_update_step(grads, trainable_variables, learning_rate)
            return
        gradients = [merged(grad) for grad in grads]
        limit = self.global_clipnorm or 0.0
        scale = clipping_scale(gradients, limit) if limit > 0 else 1.0
        step = tf.cast(self.iterations + 1, tf.float32)
        beta_1, beta_2 = float(self.beta_1), float(self.beta_2)
        correction = tf.sqrt(1 - tf.pow(beta_2, step)) / (1 - tf.pow(beta_1, step))
        step_size = tf.cast(learning_rate, tf.float32) * correction
        numbers = tf.stack([step_size, beta_1, beta_2, float(self.epsilon), scale])
        for gradient, variable in zip(gradients, trainable_variables, strict=True):
            index = self._get_variable_index(variable)
            moments = self._momentums[index].value, self._velocities[index].value
            value = variable.value if isinstance(variable, keras.Variable) else variable
            adam_step(value, *moments, gradient, numbers)

    def update_step(
        self, gradient: tf.Tensor, variable: tf.Variable, learning_rate: tf.Tensor
    ) -> None:
        """Updates one variable and its moments."""
        if self.amsgrad or tf.distribute.has_strategy():
            super().update_step(gradient, variable, learning_rate)
            return
        index = self._get_variable_index(variable)
        dtype = variable.dtype
        step = tf.cast(self.iterations + 1, dtype)
        beta_1, beta_2 = (tf.cast(beta, dtype) for beta in (self.beta_1, self.beta_2))
        tf.raw_ops.ResourceApplyAdam(
            var=variable.handle,
            m=self._momentums[index].value.handle,
            v=self._velocities[index].value.handle,
            beta1_power=tf.pow(beta_1, step),
            beta2_power=tf.pow(beta_2, step),
            lr=tf.cast(learning_rate, dtype),
            beta1=beta_1,
            beta2=beta_2,
            epsilon=tf.cast(self.epsilon, dtype),
            grad=tf.cast(gradient, dtype),
            use_locking=True,
        )


@keras.saving.register_keras_serializable(package="seq2seq")
class AdamW(Adam, keras.optimizers.AdamW):
    """`keras.optimizers.AdamW`, faster: same arguments, state and results."""
