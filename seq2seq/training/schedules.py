"""Learning rates over a whole training, whatever its number of steps."""

import math
from typing import Any

import keras

from seq2seq.errors import UserError


class CosineDecay(keras.callbacks.Callback):
    """Lets the learning rate rise linearly, then fall along a cosine to zero at the end.

    The optimizer's own learning rate is the peak (Loshchilov & Hutter, 2017,
    https://arxiv.org/abs/1608.03983, without restarts). Unlike Keras' schedules it counts in
    epochs, so that it fits `trainer.epochs` and any batching.

    Args:
        warmup: Share of the training, in [0, 1), in which the rate rises from zero.

    Raises:
        ValueError: If `warmup` is outside.
    """

    def __init__(self, warmup: float = 0.0) -> None:
        super().__init__()
        if not 0 <= warmup < 1:
            raise ValueError(f"warmup: must be at least 0 and below 1, got {warmup!r}")
        self.warmup = warmup

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        """Checks that no other schedule sets the rate.

        Raises:
            UserError: If the optimizer has a schedule of its own.
        """
        if self.params["learning_rate"] is None:
            raise UserError(
                "optimizer.learning_rate: a schedule does not go with CosineDecay; give a number, "
                "or leave CosineDecay out of trainer.callbacks"
            )

    def on_epoch_begin(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Remembers the epoch."""
        self.epoch = epoch

    def on_train_batch_begin(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        """Sets the rate of the step."""
        done = (self.params["first_step"] + batch) / self.params["steps"]
        self.model.optimizer.learning_rate = self.rate((self.epoch + done) / self.params["epochs"])

    def rate(self, share: float) -> float:
        """Returns the rate after some share of the training."""
        peak = self.params["learning_rate"]
        if share < self.warmup:
            return peak * share / self.warmup
        return peak * (1 + math.cos(math.pi * (share - self.warmup) / (1 - self.warmup))) / 2
