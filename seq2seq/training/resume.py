"""Resumes a training from its newest checkpoint, or goes back to one after a divergence."""

import logging
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import keras
import tensorflow as tf

from seq2seq.errors import UserError
from seq2seq.run_folder import checkpoint_path, checkpoint_paths
from seq2seq.training.averaging import WeightAverage
from seq2seq.training.checkpoint_writer import CheckpointWriter
from seq2seq.training.checkpoints import (
    Progress,
    check_checkpoint,
    load_checkpoint,
    progress_of,
    rename_older,
)
from seq2seq.training.masked_loss_model import TrainedModel
from seq2seq.training.workers import Workers

log = logging.getLogger(__name__)

RATE_FACTOR = 0.5
"""What the learning rate is multiplied by each time that a training goes back."""

MOST_RETURNS = 5
"""How often a training goes back to the same checkpoint before it ends."""


def initial_progress(
    checkpoints: Path,
    model: keras.Model,
    averages: Sequence[tf.Variable],
    identity: str,
    resume: bool,
    workers: Workers,
) -> Progress:
    """Loads the last checkpoint, if there is one; a changed learning rate overrides its own.

    Of several workers, the chief does, and all others get its state.

    Args:
        checkpoints: The folder of the checkpoints.
        model: A compiled model.
        averages: The moving averages of its weights, if any.
        identity: Identifies the order of the batches.
        resume: Whether to load a checkpoint at all.
        workers: The processes that train together.

    Raises:
        UserError: If the newest checkpoints are damaged, or of another order of batches.
    """
    if workers.is_chief:
        progress = _loaded_progress(checkpoints, model, averages, identity, resume)
    if workers.count > 1:
        state = workers.from_chief(lambda: asdict(progress))
        progress = progress if workers.is_chief else progress_of(state)
        _check_identity(progress.identity, identity, "distribute=multi_worker: the chief")
        workers.copy_from_chief([*model.variables, *model.optimizer.variables, *averages])
    return progress


def _loaded_progress(
    checkpoints: Path,
    model: keras.Model,
    averages: Sequence[tf.Variable],
    identity: str,
    resume: bool,
) -> Progress:
    rate = configured_rate(model.optimizer)
    if resume:
        rename_older(checkpoints)
    paths = checkpoint_paths(checkpoints, "last") if resume else []
    if not paths:
        return Progress(learning_rate=rate, identity=identity)
    path = newest_usable(paths, model)
    progress = load_checkpoint(path, model, averages)
    _check_identity(progress.identity, identity, str(path))
    if rate not in (None, progress.learning_rate):
        model.optimizer.learning_rate = progress.learning_rate = rate
        progress.rate_factor = 1.0
    log.info("resuming after epoch %d, step %d", progress.epoch, progress.step)
    forget_missing_best(checkpoints, model, progress)
    return progress


def _check_identity(expected: str, identity: str, place: str) -> None:
    """Raises a `UserError` if the order of the batches is not that of a checkpoint or worker."""
    if identity != expected:
        raise UserError(
            f"{place}: its training data, tokenizer, batching or seed, or trainer.accumulate, are "
            "others; a run can be resumed with the same ones only"
        )


@dataclass(eq=False)
class GoBack:
    """Goes back to the start of the epoch after a divergence, with a lower learning rate.

    Not to the newest checkpoint: that depends on when the training was interrupted.

    Args:
        checkpoints: The folder of the checkpoints.
        model: The model that is trained.
        average: The moving average of its weights.
        progress: The progress of the training; is replaced by that of the checkpoint.
        writer: Writes the checkpoints.
    """

    checkpoints: Path
    model: TrainedModel
    average: WeightAverage
    progress: Progress
    writer: CheckpointWriter
    returns: Counter[Path] = field(default_factory=Counter)

    def __post_init__(self) -> None:
        self.schedule = configured_schedule(self.model.optimizer)
        self._scale_schedule()

    def __call__(self, error: UserError) -> None:
        """Loads the checkpoint of the start of the epoch; an earlier one if that is damaged.

        Args:
            error: The divergence.

        Raises:
            UserError: That error, if the training went back to this checkpoint too often; or if no
                checkpoint can be used.
        """
        self.writer.finish()
        self.average.restore()
        newest = checkpoint_path(self.checkpoints, "last", self.progress.epoch_start)
        paths = checkpoint_paths(self.checkpoints, "last")
        older = paths[paths.index(newest) + 1 :] if newest in paths else []
        path = newest_usable([newest, *older], self.model)
        self.returns[path] += 1
        if self.returns[path] > MOST_RETURNS:
            raise error
        loaded = load_checkpoint(path, self.model, self.average.averages)
        forget_missing_best(self.checkpoints, self.model, loaded)
        lower = RATE_FACTOR ** self.returns[path]
        loaded.rate_factor *= lower
        vars(self.progress).update(vars(loaded))
        if self.schedule is None:
            rate = keras.ops.convert_to_numpy(self.model.optimizer.learning_rate)
            self.model.optimizer.learning_rate = float(rate) * lower
        self._scale_schedule()
        log.warning(
            "%s Going back to %s, with %g of the learning rate.",
            str(error).partition(" Lower")[0],
            path.name,
            lower,
        )

    def _scale_schedule(self) -> None:
        if self.schedule is not None and self.progress.rate_factor != 1:
            factor = self.progress.rate_factor
            self.model.optimizer.learning_rate = ScaledSchedule(self.schedule, factor)
            self.model.make_train_function(force=True)  # the schedule is part of its graph


class ScaledSchedule(keras.optimizers.schedules.LearningRateSchedule):
    """A learning rate schedule times a factor."""

    def __init__(
        self, schedule: keras.optimizers.schedules.LearningRateSchedule, factor: float
    ) -> None:
        self.schedule, self.factor = schedule, factor

    def __call__(self, step: Any) -> Any:
        """Returns the learning rate of a step."""
        return self.schedule(step) * self.factor

    def get_config(self) -> dict[str, Any]:
        """Returns the arguments."""
        return {"schedule": self.schedule, "factor": self.factor}


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
    rate = _inner(optimizer).get_config()["learning_rate"]
    return float(rate) if isinstance(rate, int | float) else None


def configured_schedule(
    optimizer: keras.optimizers.Optimizer,
) -> keras.optimizers.schedules.LearningRateSchedule | None:
    """Returns the learning rate schedule of an optimizer, or None if it has a number."""
    rate = _inner(optimizer).get_config()["learning_rate"]
    if isinstance(rate, int | float):
        return None
    return keras.optimizers.schedules.deserialize(rate)


def _inner(optimizer: keras.optimizers.Optimizer) -> keras.optimizers.Optimizer:
    if isinstance(optimizer, keras.optimizers.LossScaleOptimizer):
        return optimizer.inner_optimizer
    return optimizer
