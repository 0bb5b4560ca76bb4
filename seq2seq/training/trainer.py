"""The fit: epochs, validation, checkpoints, early stopping and resume."""

import difflib
import logging
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Literal, Protocol

import keras
import tensorflow as tf
from rich.console import Console

from seq2seq.errors import UserError
from seq2seq.training.averaging import WeightAverage
from seq2seq.training.checkpoints import (
    Progress,
    check_checkpoint,
    load_best,
    load_checkpoint,
)
from seq2seq.training.feed import EpochFeed
from seq2seq.training.garbage import only_new_garbage
from seq2seq.training.interrupt import StopBetweenSteps, TrainingInterrupted
from seq2seq.training.keeper import AddScores, Keeper, LogMetrics
from seq2seq.training.profiling import StepProfile
from seq2seq.training.progress import ProgressReport
from seq2seq.training.timed_model import TimedModel
from seq2seq.training.weighted_model import Loss, WeightedModel

log = logging.getLogger(__name__)


class TrainingSource(Protocol):
    """What the trainer needs to know of a task.

    Attributes:
        loss: The loss of each element.
        feed: The order of the training batches.
        identity: What that order depends on; a run is resumed only where it is the same.
        score_names: The scores of validation predictions that may be monitored.
    """

    loss: Loss
    feed: EpochFeed
    identity: str

    @property
    def score_names(self) -> Sequence[str]:
        """The names of the scores, without `val_`."""

    def training_data(self) -> tf.data.Dataset:
        """Returns batches `(inputs, labels, weights)` in the order of `feed`."""

    def batches(self, split: str) -> tf.data.Dataset:
        """Returns a split's batches, each record once."""


class Trainer:
    """Trains a functional Keras model with `fit`, and keeps its best and last checkpoints.

    Args:
        epochs: Passes over the training data.
        monitor: The metric that decides which epoch is best, such as `val_loss` or, with
            `validation_scores`, `val_bleu`.
        mode: Whether less (`min`) or more (`max`) of it is better.
        patience: Epochs without improvement after which training stops; null never stops early.
        validation_scores: Whether to predict the validation split after each epoch and score it.
        averaging: Decay of the moving average of the weights that is validated and kept, see
            `WeightAverage`; 0 keeps the weights of the last step.
        log_every: Steps between two logged training losses.
        checkpoint_minutes: Minutes after which the last checkpoint is written again within an
            epoch.
        profile: Whether to trace some steps of the first epoch, and report where their time goes.
        resume: Whether to go on from the run folder's last checkpoint, if there is one.
        callbacks: More Keras callbacks, by any name.

    Raises:
        ValueError: If an argument has an impossible value.
    """

    def __init__(
        self,
        epochs: int = 10,
        monitor: str = "val_loss",
        mode: Literal["min", "max"] = "min",
        patience: int | None = None,
        validation_scores: bool = False,
        averaging: float = 0.0,
        log_every: int = 20,
        checkpoint_minutes: float = 10.0,
        profile: bool = False,
        resume: bool = False,
        callbacks: Mapping[str, keras.callbacks.Callback] | None = None,
    ) -> None:
        for name, value in (("epochs", epochs), ("log_every", log_every)):
            if not isinstance(value, int) or value < 1:
                raise ValueError(f"{name}: must be a whole number of at least 1, got {value!r}")
        if mode not in ("min", "max"):
            raise ValueError(f"mode: must be min or max, got {mode!r}")
        if not validation_scores and monitor.removeprefix("val_") not in ("loss", "perplexity"):
            raise ValueError(
                f"monitor: '{monitor}' is a score of predictions: set validation_scores=true"
            )
        if patience is not None and patience < 1:
            raise ValueError(f"patience: must be at least 1 or null, got {patience!r}")
        if not 0 <= averaging < 1:
            raise ValueError(f"averaging: must be at least 0 and below 1, got {averaging!r}")
        self.epochs = epochs
        self.monitor, self.mode, self.patience = monitor, mode, patience
        self.validation_scores = validation_scores
        self.averaging = averaging
        self.log_every = log_every
        self.checkpoint_minutes = checkpoint_minutes
        self.profile = profile
        self.resume = resume
        self.callbacks = dict(callbacks or {})

    def fit(
        self,
        training_model: keras.Model,
        source: TrainingSource,
        optimizer: keras.optimizers.Optimizer,
        run_folder: Path,
        score_validation: Callable[[], dict[str, float]],
        log_metrics: LogMetrics,
        console: Console,
    ) -> Progress:
        """Trains, and leaves the best epoch's weights in `training_model`.

        Args:
            training_model: A functional model; its layers are trained.
            source: Gives the loss and the batches.
            optimizer: Any Keras optimizer.
            run_folder: Where `checkpoints/` (`last` and `best`) and `profile/` go.
            score_validation: Predicts and scores the validation split.
            log_metrics: Called with metrics while training goes on.
            console: Where progress is shown.

        Returns:
            What was done.

        Raises:
            TrainingInterrupted: After Ctrl-C; the last checkpoint was then saved.
            UserError: If the training diverges, or a checkpoint cannot be read or written.
        """
        self._check_monitors(source.score_names)
        model = compiled(training_model, source.loss, optimizer)
        checkpoints = run_folder / "checkpoints"
        average = WeightAverage(model.trainable_variables, self.averaging)
        last, best = checkpoints / "last.weights.h5", checkpoints / "best.weights.h5"
        progress = Progress(learning_rate=configured_rate(optimizer), identity=source.identity)
        if self.resume and last.exists():
            progress = self._restored(last, model, average, progress)
            forget_missing_best(best, model, progress)
        others = dict(self.callbacks)
        if self.patience is not None:
            others["early_stopping"] = keras.callbacks.EarlyStopping(
                monitor=self.monitor, mode=self.mode, patience=self.patience
            )
        keeper = Keeper(
            progress,
            source.feed,
            checkpoints,
            average,
            others,
            log_metrics,
            self.monitor,
            self.mode,
            self.log_every,
            60 * self.checkpoint_minutes,
        )
        report = ProgressReport(source.feed, self.epochs, console)
        scores = [AddScores(score_validation, average)] if self.validation_scores else []
        profile = [StepProfile(run_folder / "profile")] if self.profile else []
        with StopBetweenSteps() as stop:
            callbacks = OneTraining(
                [average, *profile, *scores, *others.values(), report, keeper, stop], model
            )
            try:
                with only_new_garbage():
                    self._epochs(model, source, progress, callbacks)
            except TrainingInterrupted:
                keeper.save("last")
                average.take_over()
                raise
            finally:
                report.close()
                for traced in profile:
                    traced.close()
        if progress.best_epoch:
            load_best(best, model)
        else:
            log.warning("no epoch had a %s to go by: the last weights are kept", self.monitor)
        return progress

    def _check_monitors(self, score_names: Sequence[str]) -> None:
        """Refuses a metric that will never be there, before any step is done."""
        scores = score_names if self.validation_scores else ()
        known = [prefix + name for prefix in ("", "val_") for name in ("loss", "perplexity")]
        known += [f"val_{name}" for name in scores]
        monitors = {"trainer.monitor": self.monitor} | {
            f"trainer.callbacks.{name}.monitor": callback.monitor
            for name, callback in self.callbacks.items()
            if isinstance(getattr(callback, "monitor", None), str)
        }
        for key, monitor in monitors.items():
            if monitor not in known:
                nearest = difflib.get_close_matches(monitor, known, n=1, cutoff=0.3)
                hint = f"; the nearest is '{nearest[0]}'" if nearest else ""
                raise UserError(
                    f"{key}: there is no metric '{monitor}'{hint} (known: {', '.join(known)})"
                )

    def _restored(
        self, path: Path, model: TimedModel, average: WeightAverage, fresh: Progress
    ) -> Progress:
        """Loads a checkpoint; a learning rate that the user has changed since is the new one."""
        progress = load_checkpoint(path, model, average.averages)
        if progress.identity != fresh.identity:
            raise UserError(
                f"{path}: the training data, tokenizer, batching or seed are not those of this "
                "checkpoint; a run can be resumed with the same ones only"
            )
        if fresh.learning_rate not in (None, progress.learning_rate):
            model.optimizer.learning_rate = fresh.learning_rate
            progress.learning_rate = fresh.learning_rate
        log.info("going on after epoch %d, step %d", progress.epoch, progress.step)
        return progress

    def _epochs(
        self,
        model: TimedModel,
        source: TrainingSource,
        progress: Progress,
        callbacks: "OneTraining",
    ) -> None:
        """Calls `fit` epoch by epoch: each has its own batches, and the first may be a rest."""
        feed, validation = source.feed, source.batches("validation")
        params = {"epochs": self.epochs, "learning_rate": progress.learning_rate}
        callbacks.set_params(params)
        callbacks.begin()
        waited = progress.callbacks.get("early_stopping", {}).get("wait", 0)
        stopped = self.patience is not None and waited >= self.patience
        for epoch in range(self.epochs if stopped else progress.epoch, self.epochs):
            feed.begin(epoch, first_step=progress.step)
            callbacks.set_params({**params, "steps": len(feed), "first_step": progress.step})
            model.fit(
                source.training_data(),
                steps_per_epoch=len(feed) - progress.step,
                validation_data=validation,
                initial_epoch=epoch,
                epochs=epoch + 1,
                callbacks=callbacks,
                shuffle=False,
                verbose=0,
            )
            if model.stop_training:
                break
        callbacks.end()

    def measure(
        self, training_model: keras.Model, loss: Loss, data: tf.data.Dataset
    ) -> dict[str, float]:
        """Returns the mean loss and the perplexity over the real elements of some batches."""
        model = WeightedModel(training_model.input, training_model.output, loss)
        model.compile(jit_compile=False)
        return {
            name: float(value)
            for name, value in model.evaluate(data, return_dict=True, verbose=0).items()
        }


def forget_missing_best(path: Path, model: keras.Model, progress: Progress) -> None:
    """Has a training look for its best epoch anew where that checkpoint is lost, and says so."""
    if not progress.best_epoch:
        return
    try:
        check_checkpoint(path, model)
    except UserError as error:
        log.warning(
            "%s The best epoch so far (%d) is lost; the best of those that follow is kept.",
            error,
            progress.best_epoch,
        )
        progress.best, progress.best_epoch = None, 0


def configured_rate(optimizer: keras.optimizers.Optimizer) -> float | None:
    """Returns the learning rate an optimizer was made with, or None if that is a schedule."""
    rate = optimizer.get_config()["learning_rate"]
    return float(rate) if isinstance(rate, int | float) else None


def compiled(
    training_model: keras.Model, loss: Loss, optimizer: keras.optimizers.Optimizer
) -> TimedModel:
    """Wraps the model's graph for `fit`; the layers, and so the weights, are the same objects."""
    model = TimedModel(training_model.input, training_model.output, loss)
    model.compile(optimizer=optimizer, jit_compile=False)
    optimizer.build(model.trainable_variables)
    return model


class OneTraining(keras.callbacks.CallbackList):
    """Lets several calls of `fit` be one training to its callbacks, which begins and ends once."""

    def __init__(self, callbacks: list[keras.callbacks.Callback], model: keras.Model) -> None:
        super().__init__(callbacks, add_history=True, model=model)

    def begin(self) -> None:
        """Tells the callbacks that training begins."""
        super().on_train_begin()

    def end(self) -> None:
        """Tells the callbacks that training has ended."""
        super().on_train_end()

    def on_train_begin(self, logs: dict[str, float] | None = None) -> None:
        """Says nothing: one call of `fit` begins."""

    def on_train_end(self, logs: dict[str, float] | None = None) -> None:
        """Says nothing: one call of `fit` has ended."""
