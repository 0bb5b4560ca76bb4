"""Callbacks that keep a training's progress, metrics and checkpoints."""

import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Literal

import keras

from seq2seq.errors import UserError
from seq2seq.training.averaging import WeightAverage
from seq2seq.training.checkpoints import Progress, save_checkpoint
from seq2seq.training.feed import EpochFeed

COUNTERS = ("wait", "best", "stopped_epoch", "cooldown_counter")
"""What Keras' callbacks count in; their other attributes are settings, which a user may change."""

LogMetrics = Callable[[dict[str, float], int], None]
"""Takes metrics and the optimizer step they belong to."""

Logs = dict[str, Any] | None

DIVERGED = 1e6
"""No loss that still means something is as large."""


def _has_diverged(value: float) -> bool:
    return not abs(value) < DIVERGED


class AddScores(keras.callbacks.Callback):
    """Adds the scores of validation predictions to the epoch's metrics, as `val_...`."""

    def __init__(self, score: Callable[[], dict[str, float]], average: WeightAverage) -> None:
        super().__init__()
        self.score, self.average = score, average

    def on_epoch_end(self, epoch: int, logs: Logs = None) -> None:
        """Predicts and scores."""
        if logs is not None:
            with self.average.in_place():
                scores = self.score()
            logs.update({f"val_{name}": value for name, value in scores.items()})


class Keeper(keras.callbacks.Callback):
    """Counts what was done, logs metrics, and writes the last and the best checkpoint.

    Args:
        progress: Where the training stands; kept up to date.
        feed: The order of the batches.
        folder: Where the checkpoints go.
        average: The moving average of the weights: what is best.
        others: Callbacks whose counters belong into a checkpoint.
        log_metrics: Takes metrics by step.
        monitor: The metric that decides which epoch is best.
        mode: Whether less (`min`) or more (`max`) of it is better.
        log_every: Steps between two logged training losses.
        checkpoint_seconds: Seconds after which the last checkpoint is written within an epoch.
    """

    def __init__(
        self,
        progress: Progress,
        feed: EpochFeed,
        folder: Path,
        average: WeightAverage,
        others: Mapping[str, keras.callbacks.Callback],
        log_metrics: LogMetrics,
        monitor: str,
        mode: Literal["min", "max"],
        log_every: int,
        checkpoint_seconds: float,
    ) -> None:
        super().__init__()
        self.progress, self.feed, self.folder = progress, feed, folder
        self.average, self.others = average, others
        self.log_metrics = log_metrics
        self.monitor, self.mode = monitor, mode
        self.log_every, self.checkpoint_seconds = log_every, checkpoint_seconds

    def on_train_begin(self, logs: Logs = None) -> None:
        """Starts the clock, and gives the other callbacks the counters of the checkpoint."""
        self.began, self.before = time.monotonic(), self.progress.seconds
        self.saved = self.began
        self.waited_before = self.progress.waiting_seconds
        for name, values in self.progress.callbacks.items():
            if name in self.others:
                vars(self.others[name]).update(values)

    def on_epoch_begin(self, epoch: int, logs: Logs = None) -> None:
        """Starts the clock of the steps; a resumed epoch's metrics go on from its first steps."""
        self.stepped = time.monotonic()
        if not self.progress.step:
            self.progress.logged = (0.0, 0.0)
        else:
            for variable, value in zip(
                self.model.metrics_variables, self.progress.metrics, strict=True
            ):
                variable.assign(value)

    def on_train_batch_end(self, batch: int, logs: Logs = None) -> None:
        """Counts the step; logs and saves from time to time."""
        progress, now = self.progress, time.monotonic()
        progress.training_seconds += now - self.stepped
        self.stepped = now
        progress.target_tokens += self.feed.step_tokens(progress.step)
        progress.step += 1
        progress.total_steps += 1
        self.average.after_step(progress.total_steps)
        if progress.total_steps % self.log_every == 0:
            self._log_loss()
        # The last step's checkpoint is the epoch's, after validation.
        if now - self.saved > self.checkpoint_seconds and progress.step < len(self.feed):
            self.save("last")

    def _log_loss(self) -> None:
        """Logs the mean loss since the last point: `fit` has the mean since the epoch began."""
        mean = self.model.mean_loss
        total, elements = float(mean.total.numpy()), float(mean.count.numpy())
        before, counted = self.progress.logged
        loss = (total - before) / (elements - counted)
        self._check(loss)
        self.progress.logged = (total, elements)
        rate = keras.ops.convert_to_numpy(self.model.optimizer.learning_rate)
        self.log_metrics(
            {"train_loss": loss, "learning_rate": float(rate)}, self.progress.total_steps
        )

    def on_epoch_end(self, epoch: int, logs: Logs = None) -> None:
        """Logs the epoch's metrics and saves."""
        progress = self.progress
        values = {name: float(value) for name, value in (logs or {}).items()}
        self._check(values["loss"])
        if self.monitor not in values:
            known = ", ".join(sorted(values))
            raise UserError(f"trainer.monitor: no metric '{self.monitor}' (known: {known})")
        named = {n if n.startswith("val_") else f"train_{n}": v for n, v in values.items()}
        progress.history.append({"step": progress.total_steps, **named})
        progress.costs.append(
            {
                "seconds": self.before + time.monotonic() - self.began,
                "training_seconds": progress.training_seconds,
                "target_tokens": progress.target_tokens,
            }
        )
        progress.epoch, progress.step = epoch + 1, 0
        self.log_metrics({**named, "epoch": epoch + 1}, progress.total_steps)
        if self._is_best(values[self.monitor]):
            progress.best, progress.best_epoch = values[self.monitor], epoch + 1
            with self.average.in_place():
                self.save("best")
        self.save("last")

    def _is_best(self, value: float) -> bool:
        best = self.progress.best
        if _has_diverged(value):
            return False
        return best is None or (value < best if self.mode == "min" else value > best)

    def _check(self, loss: float) -> None:
        if _has_diverged(loss):
            raise UserError(
                f"Training diverged: the loss is {loss} at step {self.progress.total_steps}. Lower "
                "optimizer.learning_rate, or clip with optimizer.global_clipnorm."
            )

    def save(self, name: Literal["best", "last"]) -> None:
        """Writes a complete checkpoint."""
        self.saved = time.monotonic()
        self.progress.seconds = self.before + self.saved - self.began
        self.progress.waiting_seconds = self.waited_before + self.model.waiting_seconds
        self.progress.callbacks = {
            name: {k: v for k, v in vars(callback).items() if k in COUNTERS and v is not None}
            for name, callback in self.others.items()
        }
        self.progress.metrics = [float(v.numpy()) for v in self.model.metrics_variables]
        path = self.folder / f"{name}.weights.h5"
        save_checkpoint(path, self.model, self.average.averages, self.progress)
