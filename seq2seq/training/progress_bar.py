"""Shows the progress of a training: loss, speed, remaining time, and what each epoch ends with."""

import logging
import time
from contextlib import ExitStack
from typing import Any

import keras

from seq2seq.progress import clock, step
from seq2seq.scores import number
from seq2seq.training.batch_order import BatchOrder
from seq2seq.training.time_budget import TimeBudget

log = logging.getLogger(__name__)

SECONDS_BETWEEN_UPDATES = 1.0


class ProgressBar(keras.callbacks.Callback):
    """Shows each epoch as a step with loss, target tokens per second and the remaining time.

    Args:
        batch_order: The order of the batches.
        epochs: Total number of epochs.
        budget: The time after which the training ends.
    """

    def __init__(self, batch_order: BatchOrder, epochs: int, budget: TimeBudget) -> None:
        super().__init__()
        self.batch_order, self.epochs, self.budget = batch_order, epochs, budget
        self.is_traced = False
        self._epoch, self._part = ExitStack(), ExitStack()

    def close(self) -> None:
        """Removes all steps, also after an error."""
        self._part.close()
        self._epoch.close()

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        """Removes the steps of a training that goes back to a checkpoint."""
        self.close()

    def on_epoch_begin(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Shows the epoch, and resets the counts."""
        self.shown = self._epoch.enter_context(step(f"epoch {epoch + 1}/{self.epochs}"))
        if not self.is_traced:
            self._part.enter_context(step("tracing and running the first training step"))
        self.epoch, self.total = epoch, len(self.batch_order)
        self.tokens, self.rate, self.start = 0, 0.0, time.monotonic()
        self.first_batch_done = False
        self.last_shown = self.start

    def on_train_batch_end(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        """Updates what is shown in intervals; reading the loss waits for the step."""
        now = time.monotonic()
        if not self.first_batch_done:  # its time is mostly tracing: not counted
            self.first_batch_done, self.start, self.first = True, now, batch
            self.is_traced = True
            self._part.close()
            return
        done = batch + self.batch_order.first_step + 1
        self.tokens += self.batch_order.step_tokens(done - 1)
        seconds = now - self.start
        self.rate = self.tokens / seconds
        if now - self.last_shown < SECONDS_BETWEEN_UPDATES:
            return
        self.last_shown = now
        remaining = self.total - done + (self.epochs - self.epoch - 1) * self.total
        seconds_of_epochs = remaining * seconds / (batch - self.first)
        remaining_seconds = min(seconds_of_epochs, self.budget.remaining_seconds())
        loss = float((logs or {})["loss"])
        text = f"loss {loss:.3f}, {self._speed()}, {clock(remaining_seconds)} left"
        self.shown.report(done, self.total, text)

    def on_test_begin(self, logs: dict[str, Any] | None = None) -> None:
        """Shows that the steps are done, and the validation."""
        self.shown.report(self.total, self.total)
        self._part.enter_context(step("validating"))

    def on_test_end(self, logs: dict[str, Any] | None = None) -> None:
        """Removes the validation."""
        self._part.close()

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Logs the epoch's metrics."""
        self.close()
        values = {name: float(value) for name, value in (logs or {}).items()}
        parts = [f"{name} {number(value)}" for name, value in values.items()]
        if self.rate:
            parts.append(self._speed())
        log.info("epoch %d/%d: %s", epoch + 1, self.epochs, ", ".join(parts))

    def _speed(self) -> str:
        return f"{self.rate:,.0f} {self.batch_order.unit}/s"
