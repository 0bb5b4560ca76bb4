"""Graphs that predict."""

from collections.abc import Callable
from typing import Any

import keras
import tensorflow as tf

from seq2seq.ops.dispatch import inference_kernels


def prediction_graph(
    model: keras.Model, function: Callable[[dict[str, tf.Tensor]], Any] | None = None
) -> Callable[[dict[str, Any]], Any]:
    """Makes a graph, with kernels, that is traced once for batches of all shapes.

    Args:
        model: Takes its inputs by name.
        function: Of what the model reads; by default the model itself, without dropout.
    """

    def run(inputs: dict[str, tf.Tensor]) -> Any:
        with inference_kernels():
            return model(inputs, training=False) if function is None else function(inputs)

    read = {name: tf.TensorSpec(part.shape, part.dtype) for name, part in model.input.items()}
    return tf.function(run, input_signature=[read], autograph=False)
