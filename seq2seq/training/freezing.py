"""Layers that are not trained at first."""

from collections.abc import Sequence

import keras


class FreezeLayers(keras.callbacks.Callback):
    """Keeps layers as they are for some epochs, then trains them with the others.

    So what was learned elsewhere is not spoilt while the new layers know nothing yet (Howard &
    Ruder, 2018, https://arxiv.org/abs/1801.06146).

    Args:
        layers: The layers.
        epochs: How many epochs.
    """

    def __init__(self, layers: Sequence[keras.layers.Layer], epochs: int) -> None:
        super().__init__()
        self.layers, self.epochs = list(layers), epochs

    def on_epoch_begin(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        """Freezes or frees the layers, and has the training step made anew where that changes."""
        trainable = epoch >= self.epochs
        if any(layer.trainable != trainable for layer in self.layers):
            for layer in self.layers:
                layer.trainable = trainable
            self.model.make_train_function(force=True)
