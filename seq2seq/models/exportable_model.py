"""Keras models with nested inputs and outputs that can be exported."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import keras


@keras.saving.register_keras_serializable(package="seq2seq")
class NestedModel(keras.Model):
    """A functional model with states among inputs and outputs: a list of field -> tensor.

    Exported files have no nested outputs: there each output is named as the input that it becomes
    at the next step, such as `state_0_h` or `memory_keys`.

    Example:
        >>> translator.decoder_model.export("decoder")
        >>> step = tf.saved_model.load("decoder").signatures["serving_default"]
        >>> step(target=token, state_0_h=h, state_0_c=c)["state_0_h"]
    """

    def export(self, filepath: str | Path, *args: Any, **kwargs: Any) -> None:
        """Exports the model as `keras.Model.export` does, with flat outputs."""
        flat = keras.Model(self.input, named_tensors(self.output), name=self.name)
        flat.export(filepath, *args, **kwargs)


def named_tensors(nest: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the tensors of a nest by the names of inputs and exported outputs."""
    return {flat_name(path): tensor for path, tensor in keras.tree.flatten_with_path(nest)}


def flat_name(path: tuple[str | int, ...]) -> str:
    """Returns the name of a tensor of a nest, such as `state_0_h` or `memory_keys`."""
    first = "state" if path[0] == "states" else path[0]
    return "_".join(map(str, (first, *path[1:])))
