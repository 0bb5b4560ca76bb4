"""Progress of a training: a bar on a terminal, plain lines in a log."""

import logging
import time
from typing import Any

import keras
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn

from seq2seq.training.batch_order import BatchOrder

log = logging.getLogger(__name__)

SECONDS_BETWEEN_LINES = 10.0
SECONDS_BETWEEN_UPDATES = 0.5


def clock(seconds: float) -> str:
    """Formats a duration as `m:ss` or `h:mm:ss`."""
    minutes, second = divmod(round(seconds), 60)
    hours, minute = divmod(minutes, 60)
    return f"{hours}:{minute:02}:{second:02}" if hours else f"{minute}:{second:02}"


class ProgressBar(keras.callbacks.Callback):
    """Shows loss, target tokens per second and the remaining time.

    Args:
        batch_order: The order of the batches.
        epochs: Total number of epochs.
        console: Shows a bar if it is a terminal; else progress is logged.
    """

    def __init__(self, batch_order: BatchOrder, epochs: int, console: Console) -> None:
        super().__init__()
        self.batch_order, self.epochs = batch_order, epochs
        self.bar = Progress(
            TextColumn("{task.description}"),
            BarColumn(bar_width=None),
            TextColumn("{task.fields[text]}"),
            console=console,
            transient=True,
            disable=not console.is_terminal,
        )
        self.row = self.bar.add_task("", text="starting")
        self.rate = 0.0

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        """Starts the bar."""
        self.bar.start()

    def close(self) -> None:
        """Removes the bar, also after an error."""
        self.bar.stop()

    def on_epoch_begin(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Resets the counts."""
        self.epoch, self.total = epoch, len(self.batch_order)
        self.tokens, self.start = 0, time.monotonic()
        self.first_batch_done = False
        self.last_shown = self.start

    def on_train_batch_end(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        """Updates the display in intervals; reading the loss waits for the step."""
        now = time.monotonic()
        if not self.first_batch_done:  # its time is mostly tracing: not counted
            self.first_batch_done, self.start, self.first = True, now, batch
            return
        step = batch + self.batch_order.first_step
        self.tokens += self.batch_order.step_tokens(step)
        wait = SECONDS_BETWEEN_LINES if self.bar.disable else SECONDS_BETWEEN_UPDATES
        if now - self.last_shown < wait:
            return
        self.last_shown = now
        seconds = now - self.start
        self.rate = self.tokens / seconds
        remaining = self.total - step - 1 + (self.epochs - self.epoch - 1) * self.total
        remaining_seconds = remaining * seconds / (batch - self.first)
        self._show(step + 1, float((logs or {})["loss"]), remaining_seconds)

    def _show(self, step: int, loss: float, remaining_seconds: float) -> None:
        text = f"loss {loss:.3f}, {self.rate:,.0f} tokens/s, {clock(remaining_seconds)} left"
        epoch = f"epoch {self.epoch + 1}/{self.epochs}"
        if self.bar.disable:
            log.info("%s, step %d/%d: %s", epoch, step, self.total, text)
            return
        self.bar.update(self.row, description=epoch, completed=step, total=self.total, text=text)

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Logs the epoch's metrics."""
        values = {name: float(value) for name, value in (logs or {}).items()}
        parts = [f"{name} {value:.4g}" for name, value in values.items()]
        if self.rate:
            parts.append(f"{self.rate:,.0f} tokens/s")
        log.info("epoch %d/%d: %s", epoch + 1, self.epochs, ", ".join(parts))
