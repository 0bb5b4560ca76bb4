"""Forecasts and sample paths as graphs, each traced once for a model."""

from collections.abc import Callable

import tensorflow as tf

from seq2seq.decoding.random_numbers import uniform
from seq2seq.models.forecaster import Forecast, Forecaster
from seq2seq.ops.dispatch import inference_kernels
from seq2seq.training.distributions import Distribution


def point_graph(model: Forecaster, distribution: Distribution) -> Callable[..., Forecast]:
    """Compiles the forecast of inputs and a horizon."""

    def run(inputs: dict[str, tf.Tensor], horizon: tf.Tensor) -> Forecast:
        with inference_kernels():
            return model.forecast(inputs, horizon, lambda raw, _: distribution.point(raw))

    signature = [input_specs(model), tf.TensorSpec((), tf.int32)]
    return tf.function(run, input_signature=signature, autograph=False)


def path_graph(
    model: Forecaster, distribution: Distribution, samples: int, seed: int
) -> Callable[..., tf.Tensor]:
    """Compiles sample paths, float32 `(samples, batch, horizon, targets)`.

    The result is a function of inputs, a horizon and keys of the rows, int32 `(batch,)`, on which
    the random numbers of each row depend.
    """
    targets = model.features.targets

    def run(inputs: dict[str, tf.Tensor], horizon: tf.Tensor, keys: tf.Tensor) -> tf.Tensor:
        numbers = uniform(seed, keys, samples, horizon * targets * 2)
        numbers = tf.reshape(numbers, (-1, horizon, targets, 2))  # (batch * samples, ...)
        repeated = {name: tf.repeat(part, samples, axis=0) for name, part in inputs.items()}

        def draw(raw: tf.Tensor, first: tf.Tensor) -> tf.Tensor:
            steps = numbers[:, first : first + tf.shape(raw)[1]]
            return distribution.sample(raw, steps)

        with inference_kernels():
            values = model.forecast(repeated, horizon, draw).values
        values = tf.reshape(values, (-1, samples, horizon, targets))
        return tf.transpose(values, (1, 0, 2, 3))

    keys = tf.TensorSpec((None,), tf.int32)
    signature = [input_specs(model), tf.TensorSpec((), tf.int32), keys]
    return tf.function(run, input_signature=signature, autograph=False)


def input_specs(model: Forecaster) -> dict[str, tf.TensorSpec]:
    """Returns the inputs of a forecast: those of training without the target."""
    return {
        name: tf.TensorSpec(part.shape, part.dtype)
        for name, part in model.training_model.input.items()
        if name != "target"
    }
