"""What a person sees while a model trains: a bar on a terminal, plain lines in a log."""

import logging
import time
from typing import Any

import keras
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn

from seq2seq.training.feed import EpochFeed

log = logging.getLogger(__name__)

SECONDS_BETWEEN_LINES = 10.0
SECONDS_BETWEEN_UPDATES = 0.5


def clock(seconds: float) -> str:
    """Formats a duration as `m:ss` or `h:mm:ss`."""
    minutes, second = divmod(round(seconds), 60)
    hours, minute = divmod(minutes, 60)
    return f"{hours}:{minute:02}:{second:02}" if hours else f"{minute}:{second:02}"


class ProgressReport(keras.callbacks.Callback):
    """Shows loss, target tokens per second and the time left.

    Args:
        feed: The order of the batches.
        epochs: Epochs in all.
        console: Where to draw; a bar if it is a terminal, else lines go to the log.
    """

    def __init__(
        self,
        feed: EpochFeed,
        epochs: int,
        console: Console,
    ) -> None:
        super().__init__()
        self.feed, self.epochs = feed, epochs
        self.bar = (
            Progress(
                TextColumn("{task.description}"),
                BarColumn(bar_width=None),
                TextColumn("{task.fields[text]}"),
                console=console,
                transient=True,
            )
            if console.is_terminal
            else None
        )
        self.row = TaskID(0)
        self.rate = 0.0

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        """Starts the bar."""
        if self.bar is not None:
            self.row = self.bar.add_task("", text="starting")
            self.bar.start()

    def on_train_end(self, logs: dict[str, Any] | None = None) -> None:
        """Takes the bar away."""
        self.close()

    def close(self) -> None:
        """Takes the bar away, also after an error."""
        if self.bar is not None:
            self.bar.stop()

    def on_epoch_begin(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Starts counting."""
        self.epoch, self.total = epoch, len(self.feed)
        self.counted, self.since = 0, time.monotonic()
        self.first_batch_done = False
        self.shown = self.since

    def on_train_batch_end(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        """Shows the state from time to time; reading the loss waits for the step."""
        now = time.monotonic()
        if not self.first_batch_done:  # its time is mostly tracing: not counted
            self.first_batch_done, self.since, self.first = True, now, batch
            return
        step = batch + self.feed.first_step
        self.counted += self.feed.step_tokens(step)
        wait = SECONDS_BETWEEN_UPDATES if self.bar is not None else SECONDS_BETWEEN_LINES
        if now - self.shown < wait:
            return
        self.shown = now
        spent = now - self.since
        self.rate = self.counted / spent
        left = self.total - step - 1 + (self.epochs - self.epoch - 1) * self.total
        seconds_left = left * spent / (batch - self.first)
        self._show(step + 1, float((logs or {})["loss"]), seconds_left)

    def _show(self, step: int, loss: float, seconds_left: float) -> None:
        text = f"loss {loss:.3f}, {self.rate:,.0f} tokens/s, {clock(seconds_left)} left"
        epoch = f"epoch {self.epoch + 1}/{self.epochs}"
        if self.bar is not None:
            self.bar.update(
                self.row, description=epoch, completed=step, total=self.total, text=text
            )
        else:
            log.info("%s, step %d/%d: %s", epoch, step, self.total, text)

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Writes one line with the epoch's metrics."""
        values = {name: float(value) for name, value in (logs or {}).items()}
        parts = [f"{name} {value:.4g}" for name, value in values.items()]
        if self.rate:
            parts.append(f"{self.rate:,.0f} tokens/s")
        log.info("epoch %d/%d: %s", epoch + 1, self.epochs, ", ".join(parts))
