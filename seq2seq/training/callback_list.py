"""Several calls of Keras' `fit` as one training."""

import keras
import tensorflow as tf

from seq2seq.training.masked_loss_model import TrainedModel


class MultiFitCallbackList(keras.callbacks.CallbackList):
    """A callback list for which several calls of `fit` are one training."""

    def begin(self) -> None:
        """Begins the training of all callbacks."""
        super().on_train_begin()

    def end(self) -> None:
        """Ends the training of all callbacks."""
        super().on_train_end()

    def on_train_begin(self, logs: dict[str, float] | None = None) -> None:
        """Ignores the beginning of one `fit`."""

    def on_train_end(self, logs: dict[str, float] | None = None) -> None:
        """Ignores the end of one `fit`."""


def validate_epoch(
    model: TrainedModel,
    validation: tf.data.Dataset,
    epoch: int,
    callbacks: MultiFitCallbackList,
) -> None:
    """Ends an epoch whose steps were done before the training was interrupted, as `fit` does."""
    model.stop_training = False
    callbacks.on_epoch_begin(epoch)
    logs = {name: float(value) for name, value in model.get_metrics_result().items()}
    scores = model.evaluate(validation, callbacks=callbacks, return_dict=True, verbose=0)
    callbacks.on_epoch_end(epoch, logs | {f"val_{name}": each for name, each in scores.items()})
