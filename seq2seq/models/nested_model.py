"""Models whose inputs and outputs are nested, as Keras models that can be exported."""

from pathlib import Path
from typing import Any

import keras


@keras.saving.register_keras_serializable(package="seq2seq")
class NestedModel(keras.Model):
    """A functional model that takes and gives states: a list over layers of field -> tensor.

    Exported files know no nested outputs, so there each output has a name of its own, which is
    that of the input it goes to at the next step: `state_0_h`, `memory_keys`.

    Example:
        >>> translator.decoder_model.export("decoder")
        >>> step = tf.saved_model.load("decoder").signatures["serving_default"]
        >>> step(target=token, state_0_h=h, state_0_c=c)["state_0_h"]
    """

    def export(self, filepath: str | Path, *args: Any, **kwargs: Any) -> None:
        """Exports the model as `keras.Model.export` does, with flat outputs."""
        flat = keras.Model(self.input, named_tensors(self.output), name=self.name)
        flat.export(filepath, *args, **kwargs)


def named_tensors(nest: dict[str, Any]) -> dict[str, Any]:
    """Returns the tensors of a nest by the names that inputs and exported outputs have."""
    return {
        "_".join(map(str, ("state" if path[0] == "states" else path[0], *path[1:]))): tensor
        for path, tensor in keras.tree.flatten_with_path(nest)
    }
