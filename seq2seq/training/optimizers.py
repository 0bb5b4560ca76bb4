"""Adam and AdamW: Keras' optimizers with a fused update."""

import inspect
from collections.abc import Sequence
from typing import Any

import keras
import tensorflow as tf
from omegaconf import DictConfig

from seq2seq.config import build_as, locate
from seq2seq.errors import UserError
from seq2seq.ops.adam import Moments, Settings, adam, fused_adam, fused_adam_available


def build_optimizer(config: DictConfig) -> keras.optimizers.Optimizer:
    """Builds the optimizer of a config; whole numbers are valid wherever Keras wants floats.

    Raises:
        UserError: If a value is invalid.
    """
    config = config.copy()
    node = config.optimizer
    rate = node.get("learning_rate", 1.0)
    if not isinstance(rate, DictConfig) and not (isinstance(rate, int | float) and rate > 0):
        raise UserError(f"optimizer.learning_rate: must be above 0, got {rate}.")
    parameters = inspect.signature(locate("optimizer", node)).parameters
    for key in map(str, node):
        is_float = key in parameters and isinstance(parameters[key].default, float)
        if is_float and type(node[key]) is int:
            node[key] = float(node[key])
    return build_as(config, "optimizer", keras.optimizers.Optimizer)


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
            and fused_adam_available()
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
        fused_adam(
            grads,
            [v.value if isinstance(v, keras.Variable) else v for v in trainable_variables],
            [self._moments(variable) for variable in trainable_variables],
            self._settings(learning_rate),
            self.global_clipnorm or 0.0,
        )

    def _moments(self, variable: Any) -> Moments:
        index = self._get_variable_index(variable)
        return Moments(self._momentums[index].value, self._velocities[index].value)

    def _settings(self, learning_rate: Any) -> Settings:
        betas = float(self.beta_1), float(self.beta_2)
        return Settings(learning_rate, self.iterations + 1, *betas, float(self.epsilon))

    def update_step(
        self, gradient: tf.Tensor, variable: tf.Variable, learning_rate: tf.Tensor
    ) -> None:
        """Updates one variable and its moments."""
        if self.amsgrad or tf.distribute.has_strategy():
            super().update_step(gradient, variable, learning_rate)
            return
        adam(gradient, variable, self._moments(variable), self._settings(learning_rate))


@keras.saving.register_keras_serializable(package="seq2seq")
class AdamW(Adam, keras.optimizers.AdamW):
    """`keras.optimizers.AdamW`, faster: same arguments, state and results."""
