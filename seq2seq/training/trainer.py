"""The trainer: epochs, validation, checkpoints, early stopping and resume."""

import gc
import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol

import keras
import tensorflow as tf

from seq2seq.config import nearest
from seq2seq.errors import UserError
from seq2seq.progress import step
from seq2seq.run_folder import checkpoint_path, checkpoint_paths
from seq2seq.training.averaging import WeightAverage
from seq2seq.training.batch_order import BatchOrder
from seq2seq.training.checkpoint_callback import CheckpointCallback, LogMetrics, ValidationScores
from seq2seq.training.checkpoint_writer import CheckpointWriter
from seq2seq.training.checkpoints import (
    Progress,
    check_checkpoint,
    load_best,
    load_checkpoint,
    rename_older,
)
from seq2seq.training.masked_loss_model import Loss, MaskedLossModel, TimedModel, compile_model
from seq2seq.training.profiling import StepProfile
from seq2seq.training.progress_bar import ProgressBar
from seq2seq.training.stop_on_signal import StopOnSignal, TrainingInterrupted

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

    def batches(self, split: str) -> tf.data.Dataset:
        """Returns a split's batches, each record once."""


@dataclass(eq=False)
class Trainer:
    """Trains a functional Keras model with `fit`, and saves its best and last checkpoints.

    Args:
        epochs: Passes over the training data.
        monitor: The metric that decides which epoch is best, such as `val_loss` or, with
            `validation_scores`, `val_bleu`.
        mode: Whether less (`min`) or more (`max`) of it is better.
        patience: Epochs without improvement after which training stops; null for no early stopping.
        validation_scores: Whether to predict the validation split after each epoch and score it.
        averaging: Decay of the moving average of the weights that is validated and saved, see
            `WeightAverage`; 0 for no averaging.
        log_every: Steps between two logged training losses.
        checkpoint_minutes: Minutes between two checkpoints within an epoch.
        checkpoint_steps: Steps between two checkpoints within an epoch; null for time alone.
        keep: How many of the last and of the best checkpoints stay. If the newest is damaged,
            a training is resumed from the one before.
        stop_after_minutes: The time after which the training stops with a checkpoint, before the
            limit of a queue ends it; null for no limit.
        profile: Whether to profile some steps of the first epoch.
        resume: Whether to resume from the run folder's last checkpoint, if there is one.
        callbacks: Further Keras callbacks, by any name.

    Raises:
        ValueError: If an argument has an impossible value.
    """

    epochs: int = 10
    monitor: str = "val_loss"
    mode: Literal["min", "max"] = "min"
    patience: int | None = None
    validation_scores: bool = False
    averaging: float = 0.0
    log_every: int = 20
    checkpoint_minutes: float = 10.0
    checkpoint_steps: int | None = None
    keep: int = 2
    stop_after_minutes: float | None = None
    profile: bool = False
    resume: bool = False
    callbacks: Mapping[str, keras.callbacks.Callback] | None = None

    def __post_init__(self) -> None:
        for name in ("epochs", "log_every", "checkpoint_steps", "keep"):
            value = getattr(self, name)
            if value is None and name == "checkpoint_steps":
                continue
            if not isinstance(value, int) or value < 1:
                raise ValueError(f"{name}: must be a whole number of at least 1, got {value!r}")
        if self.stop_after_minutes is not None and not self.stop_after_minutes > 0:
            raise ValueError(
                f"stop_after_minutes: must be above 0 or null, got {self.stop_after_minutes!r}"
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
        if not 0 <= self.averaging < 1:
            raise ValueError(f"averaging: must be at least 0 and below 1, got {self.averaging!r}")

    def fit(
        self,
        training_model: keras.Model,
        source: TrainingSource,
        optimizer: keras.optimizers.Optimizer,
        run_folder: Path,
        score_validation: Callable[[], dict[str, float]],
        log_metrics: LogMetrics,
    ) -> Progress:
        """Trains, and loads the best epoch's weights into `training_model`.

        Args:
            training_model: A functional model; its layers are trained.
            source: The loss and the batches.
            optimizer: Any Keras optimizer.
            run_folder: Folder of `checkpoints/` (`last` and `best`) and `profile/`.
            score_validation: Predicts and scores the validation split.
            log_metrics: Logs metrics during training.

        Raises:
            TrainingInterrupted: After Ctrl-C; the last checkpoint was then saved.
            UserError: If the training diverges, or a checkpoint cannot be read or written.
        """
        self._check_monitors(source.score_names)
        model = compile_model(training_model, source.loss, optimizer)
        checkpoints = run_folder / "checkpoints"
        average = WeightAverage(model.trainable_variables, self.averaging)
        progress = self._initial_progress(checkpoints, model, average, source)
        others = self._other_callbacks()
        writer = CheckpointWriter(checkpoints, self.keep)
        checkpoint = CheckpointCallback(
            progress, source.batch_order, writer, average, others, log_metrics,
            self.monitor, self.mode, self.log_every, 60 * self.checkpoint_minutes,
            self.checkpoint_steps,
        )  # fmt: skip
        stop = StopOnSignal(self.stop_after_minutes)
        bar = ProgressBar(source.batch_order, self.epochs)
        scoring = (
            [ValidationScores(score_validation, average, stop)] if self.validation_scores else []
        )
        profile = [StepProfile(run_folder / "profile")] if self.profile else []
        with stop, existing_objects_frozen(), closing(writer):
            callbacks = [average, *profile, *scoring, *others.values(), bar, checkpoint, stop]
            try:
                self._fit_epochs(model, source, progress, callbacks)
            except TrainingInterrupted:
                average.restore()
                checkpoint.save("last")
                writer.finish()
                average.assign_to_weights()
                raise
            finally:
                bar.close()
                for callback in profile:
                    callback.close()
            writer.finish()
        self._load_best(checkpoints, model, progress)
        return progress

    def _other_callbacks(self) -> dict[str, keras.callbacks.Callback]:
        """Returns the configured callbacks and early stopping, whose counters are saved."""
        callbacks = dict(self.callbacks or {})
        if self.patience is not None:
            callbacks["early_stopping"] = keras.callbacks.EarlyStopping(
                monitor=self.monitor, mode=self.mode, patience=self.patience
            )
        return callbacks

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
                    f"{key}: there is no metric '{monitor}'{nearest(monitor, list(known))} "
                    f"(known: {', '.join(known)})"
                )

    def _initial_progress(
        self, checkpoints: Path, model: TimedModel, average: WeightAverage, source: TrainingSource
    ) -> Progress:
        """Loads the last checkpoint, if there is one; a changed learning rate overrides its own."""
        rate = configured_rate(model.optimizer)
        if self.resume:
            rename_older(checkpoints)
        paths = checkpoint_paths(checkpoints, "last") if self.resume else []
        if not paths:
            return Progress(learning_rate=rate, identity=source.identity)
        path = newest_usable(paths, model)
        progress = load_checkpoint(path, model, average.averages)
        if progress.identity != source.identity:
            raise UserError(
                f"{path}: the training data, tokenizer, batching or seed are not those of this "
                "checkpoint; a run can be resumed with the same ones only"
            )
        if rate not in (None, progress.learning_rate):
            model.optimizer.learning_rate = progress.learning_rate = rate
        log.info("resuming after epoch %d, step %d", progress.epoch, progress.step)
        forget_missing_best(checkpoints, model, progress)
        return progress

    def _load_best(self, checkpoints: Path, model: keras.Model, progress: Progress) -> None:
        if progress.ranking:
            _, _, best_step = progress.ranking[0]
            with step("loading the best checkpoint"):
                load_best(checkpoint_path(checkpoints, "best", best_step), model)
        else:
            log.warning("no epoch had a valid %s: the last weights are kept", self.monitor)

    def _fit_epochs(
        self,
        model: TimedModel,
        source: TrainingSource,
        progress: Progress,
        callbacks: list[keras.callbacks.Callback],
    ) -> None:
        """Calls `fit` for each epoch: each has its own batches, and the first may be resumed."""
        order, validation = source.batch_order, source.batches("validation")
        params = {"epochs": self.epochs, "learning_rate": progress.learning_rate}
        callback_list = MultiFitCallbackList(callbacks, add_history=True, model=model)
        callback_list.set_params(params)
        callback_list.begin()
        waited = progress.callbacks.get("early_stopping", {}).get("wait", 0)
        stopped = self.patience is not None and waited >= self.patience
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


def validate_epoch(
    model: TimedModel,
    validation: tf.data.Dataset,
    epoch: int,
    callbacks: "MultiFitCallbackList",
) -> None:
    """Ends an epoch whose steps were done before the training was interrupted, as `fit` does."""
    model.stop_training = False
    callbacks.on_epoch_begin(epoch)
    logs = {name: float(value) for name, value in model.get_metrics_result().items()}
    scores = model.evaluate(validation, callbacks=callbacks, return_dict=True, verbose=0)
    callbacks.on_epoch_end(epoch, logs | {f"val_{name}": each for name, each in scores.items()})


def newest_usable(paths: Sequence[Path], model: keras.Model) -> Path:
    """Returns the first checkpoint that is not damaged, and warns of those before it.

    Raises:
        UserError: If all are damaged.
    """
    errors: list[UserError] = []
    for path in paths:
        try:
            check_checkpoint(path, model)
        except UserError as error:
            errors.append(error)
            continue
        for damage in errors:
            log.warning("%s The training goes on from the one before, %s.", damage, path.name)
        return path
    raise UserError(f"{errors[0]} There is no other one; nothing was changed.")


def forget_missing_best(checkpoints: Path, model: keras.Model, progress: Progress) -> None:
    """Removes missing and damaged checkpoints from the ranking, with a warning for the best."""
    usable = []
    for entry in progress.ranking:
        try:
            check_checkpoint(checkpoint_path(checkpoints, "best", entry[2]), model)
            usable.append(entry)
        except UserError as error:
            if entry is progress.ranking[0]:
                log.warning(
                    "%s The best epoch so far (%d) is lost; the best of the others is kept.",
                    error,
                    progress.best_epoch,
                )
    progress.ranking = usable


def configured_rate(optimizer: keras.optimizers.Optimizer) -> float | None:
    """Returns the configured learning rate of an optimizer, or None if that is a schedule."""
    if isinstance(optimizer, keras.optimizers.LossScaleOptimizer):
        optimizer = optimizer.inner_optimizer
    rate = optimizer.get_config()["learning_rate"]
    return float(rate) if isinstance(rate, int | float) else None


@contextmanager
def existing_objects_frozen() -> Iterator[None]:
    """Limits garbage collection to objects that are created inside the block.

    TensorFlow and Keras are a million objects, which the collector would traverse repeatedly.
    """
    gc.freeze()
    try:
        yield
    finally:
        gc.unfreeze()


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
