"""A budget of minutes for a training, which learning rate schedules also follow."""

import time
from typing import Any

import keras

from seq2seq.training.checkpoints import Progress


class TimeBudget(keras.callbacks.Callback):
    """Ends a training as its last epoch would, at the step at which its minutes are over.

    Args:
        minutes: The time that the training may take, validations included, but for the last one;
            None for no budget.
        progress: What a resumed training has used of it.
    """

    def __init__(self, minutes: float | None, progress: Progress) -> None:
        super().__init__()
        self.seconds = None if minutes is None else 60 * minutes
        self.progress = progress
        self.start = time.monotonic() - progress.seconds

    def share(self) -> float:
        """Returns the share of the budget that is used, at most 1; 0 without one."""
        return min((time.monotonic() - self.start) / self.seconds, 1.0) if self.seconds else 0.0

    def remaining_seconds(self) -> float:
        """Returns the seconds that are left; infinity without a budget."""
        return float("inf") if self.seconds is None else self.seconds * (1 - self.share())

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        """Starts the clock."""
        self.start = time.monotonic() - self.progress.seconds

    def on_train_batch_end(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        """Ends the epoch, and the training with it, once the time is over."""
        if self.share() == 1:
            self.model.stop_training = True
