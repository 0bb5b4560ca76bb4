"""The trainer: epochs, validation, checkpoints, early stopping and resume."""

import functools
import logging
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Protocol

import keras
import numpy as np
import tensorflow as tf

from seq2seq.errors import UserError
from seq2seq.garbage_collection import existing_objects_frozen
from seq2seq.nearest_name import nearest
from seq2seq.training.averaging import EpochAverage, WeightAverage
from seq2seq.training.batch_order import BatchOrder, Division
from seq2seq.training.callback_list import MultiFitCallbackList, validate_epoch
from seq2seq.training.checkpoint_callback import (
    CheckpointCallback,
    ChiefMetrics,
    LogMetrics,
    ValidationScores,
)
from seq2seq.training.checkpoint_writer import CheckpointWriter
from seq2seq.training.checkpoints import Progress
from seq2seq.training.divergence import POLICIES, DivergedError, DivergenceCheck, Policy
from seq2seq.training.divided_step import DividedStep
from seq2seq.training.final_weights import (
    FinalWeights,
    check_final_weights,
    load_final_weights,
)
from seq2seq.training.masked_loss_model import (
    Batch,
    Loss,
    MaskedLossModel,
    TrainedModel,
    compile_model,
    default_loss_limit,
    one_batch_a_step,
)
from seq2seq.training.memory import check_memory
from seq2seq.training.profiling import StepProfile
from seq2seq.training.progress_bar import ProgressBar
from seq2seq.training.resume import GoBack, initial_progress
from seq2seq.training.stop_on_signal import StopOnSignal, TrainingInterrupted
from seq2seq.training.time_budget import TimeBudget
from seq2seq.training.workers import ALONE, Workers

log = logging.getLogger(__name__)


class TrainingSource(Protocol):
    """The loss and the batches of a task.

    Attributes:
        loss: The loss of each element.
        batch_order: The order of the training batches.
        identity: Identifies that order; a run is resumed only where it is the same.
        score_names: The scores of validation predictions that may be monitored.
    """

    loss: Loss
    batch_order: BatchOrder
    identity: str

    @property
    def score_names(self) -> Sequence[str]:
        """The names of the scores, without `val_`."""

    def training_data(self) -> tf.data.Dataset:
        """Returns batches `(inputs, labels, weights)` in the order of `batch_order`."""

    def largest_batch(self) -> Batch:
        """Returns the training batch with the most elements, padding included."""

    def describe_batch(self, inputs: Any, labels: np.ndarray) -> list[str]:
        """Returns what is in each row of a batch, for people."""

    def batches(self, split: str) -> tf.data.Dataset:
        """Returns a split's batches, each record once."""


@dataclass(eq=False)
class Trainer:
    """Trains a functional Keras model with `fit`, and saves its best and last checkpoints.

    Args:
        epochs: Passes over the training data.
        minutes: The time after which the training ends, validated and scored, if `epochs` have not
            ended it; `CosineDecay` reaches its end by then. null for no limit. Two such trainings
            differ in their steps.
        accumulate: Batches of a step: their gradients are summed, and divided by the number of all
            their real elements. The last step of an epoch may have fewer.
        monitor: The metric that decides which epoch is best, such as `val_loss` or, with
            `validation_scores`, `val_bleu`.
        mode: Whether less (`min`) or more (`max`) of it is better.
        patience: Epochs without improvement after which training stops; null for no early stopping.
        validation_scores: Whether to predict the validation split after each epoch and score it.
        averaging: Decay of the moving average of the weights that is validated and saved, see
            `WeightAverage`; 0 for no averaging.
        swa_start: Share of `epochs` after which the weights of each epoch are averaged, validated
            and saved, see `EpochAverage`; null for no such average.
        final_weights: Those that the training ends with: of the `best` checkpoint, or the average
            of the `keep` best (`average_of_best`) or of the last `keep` epochs (`average_of_last`).
        log_every: Steps between two logged training losses.
        checkpoint_minutes: Minutes between two checkpoints within an epoch.
        checkpoint_steps: Steps between two checkpoints within an epoch; null for time alone.
        keep: How many of the last and of the best checkpoints stay. If the newest is damaged,
            a training is resumed from the one before.
        on_divergence: What follows a step whose loss or gradients are not finite, and which is
            therefore not applied: `stop` the training, `skip` the batch, or `go_back` to the start
            of the epoch with half the learning rate.
        loss_limit: A step has diverged, too, if its loss is not below this; null for 1,000 nats a
            token or class, and 1,000,000 for losses of numbers.
        memory_limit: GiB that a training step may need; a training whose largest batch needs more
            is refused. With null, it is warned of if that is more than is free.
        stop_after_minutes: The time after which the training stops with a checkpoint, before the
            limit of a queue ends it; null for no limit.
        profile: Whether to profile some steps of the first epoch.
        resume: Whether to resume from the run folder's last checkpoint, if there is one.
        callbacks: Further Keras callbacks, by any name.

    Raises:
        ValueError: If an argument has an impossible value.
    """

    epochs: int = 10
    minutes: float | None = None
    accumulate: int = 1
    monitor: str = "val_loss"
    mode: Literal["min", "max"] = "min"
    patience: int | None = None
    validation_scores: bool = False
    averaging: float = 0.0
    swa_start: float | None = None
    final_weights: FinalWeights = "best"
    log_every: int = 20
    checkpoint_minutes: float = 10.0
    checkpoint_steps: int | None = None
    keep: int = 2
    on_divergence: Policy = "stop"
    loss_limit: float | None = None
    memory_limit: float | None = None
    stop_after_minutes: float | None = None
    profile: bool = False
    resume: bool = False
    callbacks: Mapping[str, keras.callbacks.Callback] | None = None

    def __post_init__(self) -> None:
        for name in ("epochs", "accumulate", "log_every", "checkpoint_steps", "keep"):
            value = getattr(self, name)
            if value is None and name == "checkpoint_steps":
                continue
            if not isinstance(value, int) or value < 1:
                raise ValueError(f"{name}: must be a whole number of at least 1, got {value!r}")
        for name in ("minutes", "loss_limit", "memory_limit", "stop_after_minutes"):
            value = getattr(self, name)
            if value is not None and not value > 0:
                raise ValueError(f"{name}: must be above 0 or null, got {value!r}")
        if self.on_divergence not in POLICIES:
            raise ValueError(
                f"on_divergence: must be {', '.join(POLICIES[:-1])} or {POLICIES[-1]}, "
                f"got {self.on_divergence!r}{nearest(str(self.on_divergence), POLICIES)}"
            )
        if self.mode not in ("min", "max"):
            raise ValueError(f"mode: must be min or max, got {self.mode!r}")
        is_loss = self.monitor.removeprefix("val_") in ("loss", "perplexity")
        if not self.validation_scores and not is_loss:
            raise ValueError(
                f"monitor: '{self.monitor}' is a score of predictions: set validation_scores=true"
            )
        if self.patience is not None and self.patience < 1:
            raise ValueError(f"patience: must be at least 1 or null, got {self.patience!r}")
        self.callbacks = dict(self.callbacks or {})
        for name, callback in self.callbacks.items():
            if not isinstance(callback, keras.callbacks.Callback):
                kind = type(callback).__name__
                raise ValueError(f"callbacks.{name}: must be a Keras callback, got {kind}")
        self._check_averages()

    def _check_averages(self) -> None:
        if not 0 <= self.averaging < 1:
            raise ValueError(f"averaging: must be at least 0 and below 1, got {self.averaging!r}")
        if not 0 <= (self.swa_start or 0) < 1:
            raise ValueError(f"swa_start: must be at least 0 and below 1, got {self.swa_start!r}")
        if self.swa_start is not None and (self.averaging or self.minutes is not None):
            raise ValueError("swa_start: averages epochs; it needs averaging=0 and minutes=null")
        check_final_weights(self.final_weights, self.keep, self.averaging, self.swa_start)

    def fit(
        self,
        training_model: keras.Model,
        source: TrainingSource,
        optimizer: keras.optimizers.Optimizer,
        run_folder: Path,
        score_validation: Callable[[], dict[str, float]],
        log_metrics: LogMetrics,
        workers: Workers = ALONE,
    ) -> Progress:
        """Trains, and loads the weights that `final_weights` names into `training_model`.

        Args:
            training_model: A functional model; its layers are trained.
            source: The loss and the batches.
            optimizer: Any Keras optimizer.
            run_folder: Folder of `checkpoints/` (`last` and `best`) and `profile/`.
            score_validation: Predicts and scores the validation split.
            log_metrics: Logs metrics during training.
            workers: The processes that train together; the chief has the files and the best.

        Raises:
            TrainingInterrupted: After Ctrl-C; the last checkpoint was then saved.
            UserError: If the training diverges, or a checkpoint cannot be read or written.
        """
        model = self.compiled(training_model, source, optimizer, workers)
        folder = run_folder / "checkpoints"
        average = self._average(model)
        identity = source.identity + (f" {self.accumulate}" if self.accumulate > 1 else "")
        progress = initial_progress(folder, model, average.averages, identity, self.resume, workers)
        own = self._own_callbacks()
        writer = CheckpointWriter(folder, self.keep, is_on=workers.is_chief)
        go_back = GoBack(folder, model, average, progress, writer)
        check = DivergenceCheck(
            self.on_divergence, progress, run_folder, source.describe_batch, workers.count > 1
        )
        checkpoint = CheckpointCallback(
            progress, source.batch_order, writer, average, own, check, log_metrics, self.monitor,
            self.mode, self.log_every, 60 * self.checkpoint_minutes, self.checkpoint_steps,
            self.final_weights == "average_of_last",
        )  # fmt: skip
        stop = StopOnSignal(self.stop_after_minutes, workers)
        budget = TimeBudget(self.minutes, progress)
        bar = ProgressBar(source.batch_order, self.epochs, budget)
        traces = [StepProfile(run_folder / "profile")] if self.profile else []
        scores = self._validation_callbacks(score_validation, average, stop)
        callbacks = [check, average, budget, *traces, *scores, *own.values(), bar, checkpoint, stop]
        with stop, existing_objects_frozen(), closing(writer):
            try:
                self._fit(model, source, progress, callbacks, go_back, budget)
            except TrainingInterrupted:
                self._save_interrupted(checkpoint)
                raise
            finally:
                bar.close()
                for callback in traces:
                    callback.close()
            writer.finish()
        if workers.is_chief:
            load_final_weights(folder, model, progress, self.final_weights, self.keep)
        return progress

    def compiled(
        self,
        training_model: keras.Model,
        source: TrainingSource,
        optimizer: keras.optimizers.Optimizer,
        workers: Workers,
    ) -> TrainedModel:
        """Returns the model to train, after the checks that need no step."""
        self._check_monitors(source.score_names)
        if workers.count > 1 and self.on_divergence == "go_back":
            raise UserError(
                "trainer.on_divergence=go_back: has one process; with several, use stop or skip"
            )
        if workers.count > 1 and self.minutes is not None:
            raise UserError(
                "trainer.minutes: has one process, as the clocks of several differ; use epochs"
            )
        division = Division(self.accumulate, workers.shards, workers.own_shards)
        source.batch_order.division = division
        divided = functools.partial(DividedStep, workers, self.accumulate)
        make_step = one_batch_a_step if division == Division() else divided
        model = compile_model(training_model, source.loss, optimizer, make_step)
        model.loss_limit = self.loss_limit or default_loss_limit(source.loss)
        check_memory(model, source.largest_batch(), self.memory_limit)
        return model

    def _average(self, model: TrainedModel) -> WeightAverage:
        if self.swa_start is None:
            return WeightAverage(model.trainable_variables, self.averaging)
        return EpochAverage(model.trainable_variables, int(self.swa_start * self.epochs))

    def _own_callbacks(self) -> dict[str, keras.callbacks.Callback]:
        """Returns the configured callbacks and early stopping, whose counters are saved."""
        callbacks = dict(self.callbacks or {})
        if self.patience is not None:
            callbacks["early_stopping"] = keras.callbacks.EarlyStopping(
                monitor=self.monitor, mode=self.mode, patience=self.patience
            )
        return callbacks

    def _validation_callbacks(
        self, score: Callable[[], dict[str, float]], average: WeightAverage, stop: StopOnSignal
    ) -> list[keras.callbacks.Callback]:
        """Returns the callbacks that complete the metrics of a validation, for all workers."""
        metrics = [ChiefMetrics(stop.workers)] if stop.workers.count > 1 else []
        scores = [ValidationScores(score, average, stop)] if self.validation_scores else []
        return [*metrics, *scores]

    def _check_monitors(self, score_names: Sequence[str]) -> None:
        """Raises a `UserError` for an unknown metric, before the first step."""
        scores = score_names if self.validation_scores else ()
        known = [prefix + name for prefix in ("", "val_") for name in ("loss", "perplexity")]
        known += [f"val_{name}" for name in scores]
        monitors = {"trainer.monitor": self.monitor} | {
            f"trainer.callbacks.{name}.monitor": callback.monitor
            for name, callback in (self.callbacks or {}).items()
            if isinstance(getattr(callback, "monitor", None), str)
        }
        for key, monitor in monitors.items():
            if monitor not in known:
                raise UserError(
                    f"{key}: there is no metric '{monitor}'{nearest(monitor, known)} "
                    f"(known: {', '.join(known)})"
                )

    def _save_interrupted(self, checkpoint: CheckpointCallback) -> None:
        checkpoint.average.restore()
        try:
            checkpoint.save("last")
        except DivergedError:
            if self.on_divergence != "go_back":
                raise
            # No checkpoint: when resumed, the training comes to this step again, and goes back.
        checkpoint.writer.finish()
        checkpoint.average.assign_to_weights()

    def _fit(
        self,
        model: TrainedModel,
        source: TrainingSource,
        progress: Progress,
        callbacks: list[keras.callbacks.Callback],
        go_back: GoBack,
        budget: TimeBudget,
    ) -> None:
        """Trains; after a divergence, goes back to a checkpoint if that is the policy."""
        while True:
            try:
                return self._fit_epochs(model, source, progress, callbacks, budget)
            except DivergedError as error:
                if self.on_divergence != "go_back":
                    raise
                go_back(error)

    def _fit_epochs(
        self,
        model: TrainedModel,
        source: TrainingSource,
        progress: Progress,
        callbacks: list[keras.callbacks.Callback],
        budget: TimeBudget,
    ) -> None:
        """Calls `fit` for each epoch: each has its own batches, and the first may be resumed."""
        order, validation = source.batch_order, source.batches("validation")
        rate = progress.learning_rate and progress.learning_rate * progress.rate_factor
        params = {"epochs": self.epochs, "learning_rate": rate, "used_time": budget.share}
        callback_list = MultiFitCallbackList(callbacks, add_history=True, model=model)
        callback_list.set_params(params)
        callback_list.begin()
        waited = progress.callbacks.get("early_stopping", {}).get("wait", 0)
        stopped = self.patience is not None and waited >= self.patience
        stopped |= budget.share() == 1 and not progress.step
        first = self.epochs if stopped else progress.epoch
        if first >= self.epochs:
            log.info("the training has ended already; its best model is scored again")
        for epoch in range(first, self.epochs):
            order.begin(epoch, first_step=progress.step)
            callback_list.set_params({**params, "steps": len(order), "first_step": progress.step})
            if progress.step == len(order):
                validate_epoch(model, validation, epoch, callback_list)
                if model.stop_training:
                    break
                continue
            model.fit(
                source.training_data(),
                steps_per_epoch=len(order) - progress.step,
                validation_data=validation,
                initial_epoch=epoch,
                epochs=epoch + 1,
                callbacks=callback_list,
                shuffle=False,
                verbose=0,
            )
            if model.stop_training:
                break
        callback_list.end()

    def measure(
        self, training_model: keras.Model, loss: Loss, data: tf.data.Dataset
    ) -> dict[str, float]:
        """Returns the mean loss and the perplexity over the real elements of some batches."""
        model = MaskedLossModel(training_model.input, training_model.output, loss)
        model.compile(jit_compile=False)
        metrics = model.evaluate(data, return_dict=True, verbose=0)
        return {name: float(value) for name, value in metrics.items()}
