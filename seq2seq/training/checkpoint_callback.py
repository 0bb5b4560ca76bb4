"""Keras callbacks that count, log and save a training, and score its validation predictions."""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import keras

from seq2seq.errors import UserError
from seq2seq.progress import step
from seq2seq.training.averaging import WeightAverage
from seq2seq.training.batch_order import BatchOrder
from seq2seq.training.checkpoint_writer import CheckpointWriter
from seq2seq.training.checkpoints import Progress, checkpoint_content
from seq2seq.training.divergence import DivergenceCheck
from seq2seq.training.stop_on_signal import StopOnSignal
from seq2seq.training.workers import Workers

COUNTERS = ("wait", "best", "stopped_epoch", "cooldown_counter")
"""The state of Keras' callbacks; their other attributes are settings, which a user may change."""

LogMetrics = Callable[[dict[str, float], int], None]
"""Logs metrics of an optimizer step."""

Logs = dict[str, Any] | None

DIVERGED = 1e6
"""Monitored values of this size mean that the training has diverged."""


class ValidationScores(keras.callbacks.Callback):
    """Adds the scores of validation predictions to the epoch's metrics, as `val_...`."""

    def __init__(
        self,
        score: Callable[[], dict[str, float]],
        average: WeightAverage,
        stop: StopOnSignal,
    ) -> None:
        super().__init__()
        self.score, self.average, self.stop = score, average, stop

    def on_epoch_end(self, epoch: int, logs: Logs = None) -> None:
        """Predicts and scores."""
        if logs is not None:
            scores = self.stop.workers.from_chief(self._scores)
            logs.update({f"val_{name}": value for name, value in scores.items()})

    def _scores(self) -> dict[str, float]:
        with self.average.applied(), self.stop.at_once():
            return {name: float(value) for name, value in self.score().items()}


class ChiefMetrics(keras.callbacks.Callback):
    """Gives all workers the epoch's metrics of the chief, so that they decide the same.

    They differ, in their last digits, between kinds of machines.
    """

    def __init__(self, workers: Workers) -> None:
        super().__init__()
        self.workers = workers

    def on_epoch_end(self, epoch: int, logs: Logs = None) -> None:
        """Replaces the metrics."""
        if logs is not None:
            own = {name: float(value) for name, value in logs.items()}
            logs.update(self.workers.from_chief(lambda: own))


@dataclass(eq=False)
class CheckpointCallback(keras.callbacks.Callback):
    """Updates the training's progress, logs metrics, and saves the last and the best checkpoint."""

    progress: Progress  # so far; is updated
    batch_order: BatchOrder
    writer: CheckpointWriter
    average: WeightAverage  # of the weights; saved as the best
    others: Mapping[str, keras.callbacks.Callback]  # their counters are saved in checkpoints
    divergence: DivergenceCheck  # checks the steps before each checkpoint
    log_metrics: LogMetrics
    monitor: str  # the metric that decides which epoch is best
    mode: Literal["min", "max"]  # whether less or more of it is better
    log_every: int  # steps between two logged training losses
    checkpoint_seconds: float  # between two checkpoints within an epoch
    checkpoint_steps: int | None  # the same in steps
    keeps_epochs: bool = False  # whether the last checkpoints at the end of an epoch stay

    def __post_init__(self) -> None:
        super().__init__()
        # Of an epoch whose steps are done, which the validation resets.
        self.training_metrics: list[float] | None = None

    def on_train_begin(self, logs: Logs = None) -> None:
        """Starts the clock, and restores the counters of the other callbacks."""
        self.start = self.last_saved = time.monotonic()
        self.earlier_seconds = self.progress.seconds
        self.earlier_waiting_seconds = self.progress.waiting_seconds
        for name, values in self.progress.callbacks.items():
            if name in self.others:
                vars(self.others[name]).update(values)
        if self.divergence.policy == "go_back" and not self.progress.total_steps:
            self.save("last")

    def on_epoch_begin(self, epoch: int, logs: Logs = None) -> None:
        """Starts the clock of the steps, and restores the metrics of a resumed epoch."""
        self.last_step = time.monotonic()
        self.training_metrics = None
        if not self.progress.step:
            self.progress.logged = (0.0, 0.0)
            return
        variables = self.model.metrics_variables
        for variable, value in zip(variables, self.progress.metrics, strict=True):
            variable.assign(value)

    def on_test_begin(self, logs: Logs = None) -> None:
        """Keeps the metrics of the epoch's steps, in case the validation is interrupted."""
        self.training_metrics = self._metrics()

    def _metrics(self) -> list[float]:
        return [float(variable.numpy()) for variable in self.model.metrics_variables]

    def on_train_batch_end(self, batch: int, logs: Logs = None) -> None:
        """Counts the step; logs and saves in intervals."""
        progress, now = self.progress, time.monotonic()
        progress.training_seconds += now - self.last_step
        self.last_step = now
        progress.target_tokens += self.batch_order.step_tokens(progress.step)
        progress.step += 1
        progress.total_steps += 1
        self.average.after_step(progress.total_steps, len(self.batch_order))
        if progress.step == len(self.batch_order):
            self.average.after_epoch(progress.epoch)
        if progress.total_steps % self.log_every == 0:
            self._log_loss()
        # After an epoch's last step, the checkpoint is saved after validation.
        is_due = now - self.last_saved > self.checkpoint_seconds
        if self.checkpoint_steps:
            is_due |= progress.total_steps % self.checkpoint_steps == 0
        if is_due and progress.step < len(self.batch_order):
            self.save("last")

    def _log_loss(self) -> None:
        """Logs the mean loss since the last point: `fit` has the mean since the epoch began."""
        mean = self.model.mean_loss
        total, elements = float(mean.total.numpy()), float(mean.count.numpy())
        logged_total, logged_elements = self.progress.logged
        if elements == logged_elements:  # all steps were left out
            return
        loss = (total - logged_total) / (elements - logged_elements)
        self.progress.logged = (total, elements)
        rate = keras.ops.convert_to_numpy(self.model.optimizer.learning_rate)
        self.log_metrics(
            {"train_loss": loss, "learning_rate": float(rate)}, self.progress.total_steps
        )

    def on_epoch_end(self, epoch: int, logs: Logs = None) -> None:
        """Logs the epoch's metrics and saves."""
        progress = self.progress
        values = {name: float(value) for name, value in (logs or {}).items()}
        if self.monitor not in values:
            known = ", ".join(sorted(values))
            raise UserError(f"trainer.monitor: no metric '{self.monitor}' (known: {known})")
        named = {n if n.startswith("val_") else f"train_{n}": v for n, v in values.items()}
        progress.history.append({"step": progress.total_steps, **named})
        progress.costs.append(
            {
                "seconds": self.earlier_seconds + time.monotonic() - self.start,
                "training_seconds": progress.training_seconds,
                "target_tokens": progress.target_tokens,
            }
        )
        progress.epoch, progress.step = epoch + 1, 0
        self.log_metrics({**named, "epoch": epoch + 1}, progress.total_steps)
        if self._rank(values[self.monitor]):
            with self.average.applied():
                self.save("best")
        self.save("last")

    def _rank(self, value: float) -> bool:
        """Ranks the epoch, and returns whether it is among the best, which are kept."""
        progress = self.progress
        if not abs(value) < DIVERGED:  # not for NaN either
            return False
        sign = 1 if self.mode == "min" else -1
        entry = (value, progress.epoch, progress.total_steps)
        ranking = sorted([*progress.ranking, entry], key=lambda best: (sign * best[0], best[1]))
        progress.ranking = ranking[: self.writer.keep]
        return entry in progress.ranking

    def save(self, name: Literal["best", "last"]) -> None:
        """Saves a complete checkpoint; raises `DivergedError` instead if the last step did."""
        self.divergence.check()
        if not self.writer.is_on:
            return
        self.last_saved = time.monotonic()
        progress = self.progress
        progress.seconds = self.earlier_seconds + self.last_saved - self.start
        progress.waiting_seconds = self.earlier_waiting_seconds + self.model.waiting_seconds
        progress.callbacks = {
            name: {k: v for k, v in vars(callback).items() if k in COUNTERS and v is not None}
            for name, callback in self.others.items()
        }
        metrics = self.training_metrics
        progress.metrics = self._metrics() if metrics is None else metrics
        with step(f"saving the {name} checkpoint"):
            content = checkpoint_content(self.model, self.average.averages, progress)
            best = [at_step for _, _, at_step in progress.ranking]
            last = [progress.epoch_start] if self.divergence.policy == "go_back" else []
            if self.keeps_epochs:
                last += [int(epoch["step"]) for epoch in progress.history[-self.writer.keep :]]
            self.writer.write(name, progress.total_steps, content, best, last)
