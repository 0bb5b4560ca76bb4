"""Graphs for prediction, traced once for batches of all shapes."""

from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from seq2seq.ops.dispatch import inference_kernels
from seq2seq.tasks.padding import Batches


def prediction_graph(
    model: keras.Model, function: Callable[[dict[str, tf.Tensor]], Any] | None = None
) -> Callable[[dict[str, Any]], Any]:
    """Compiles a function of the model's inputs; by default the model itself, without dropout."""

    def run(inputs: dict[str, tf.Tensor]) -> Any:
        with inference_kernels():
            return model(inputs, training=False) if function is None else function(inputs)

    specs = {name: tf.TensorSpec(part.shape, part.dtype) for name, part in model.input.items()}
    return tf.function(run, input_signature=[specs], autograph=False)


def collected_features(
    feature_model: keras.Model, batches: Batches, count: int
) -> dict[str, np.ndarray]:
    """Encodes batches, and returns the vectors in the order of the inputs.

    Returns:
        Float32 `(count, width)` by name; zeros for an input in no batch.
    """
    vectors = {
        name: np.zeros((count, tensor.shape[-1]), np.float32)
        for name, tensor in feature_model.output.items()
    }
    encode = prediction_graph(feature_model)
    for numbers, batch in batches:
        for name, values in encode(batch).items():
            vectors[name][numbers] = values
    return vectors
