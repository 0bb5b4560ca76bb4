"""Freezes pretrained layers during the first epochs."""

from collections.abc import Sequence

import keras


class FreezeLayers(keras.callbacks.Callback):
    """Freezes layers for some epochs, then trains them with the others.

    So pretrained weights are not spoilt by the gradients of new layers that are still random
    (Howard & Ruder, 2018, https://arxiv.org/abs/1801.06146).
    """

    def __init__(self, layers: Sequence[keras.layers.Layer], epochs: int) -> None:
        super().__init__()
        self.layers, self.epochs = list(layers), epochs

    def on_epoch_begin(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        """Freezes or unfreezes the layers, and rebuilds the training step if that changes."""
        trainable = epoch >= self.epochs
        if any(layer.trainable != trainable for layer in self.layers):
            for layer in self.layers:
                layer.trainable = trainable
            self.model.make_train_function(force=True)
