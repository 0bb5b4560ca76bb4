"""Decides what follows a training step whose loss or gradients are not finite."""

import logging
import shlex
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal, NamedTuple

import keras
import numpy as np
import tensorflow as tf

from seq2seq.errors import UserError
from seq2seq.training.checkpoints import Progress
from seq2seq.training.diverged_batch import FOLDER, DivergedBatch
from seq2seq.training.masked_loss_model import Batch, CheckedStep, TrainedModel

log = logging.getLogger(__name__)

Policy = Literal["stop", "skip", "go_back"]
"""After a diverged step: end the training, leave the batch out, or go back to a checkpoint."""

POLICIES: tuple[Policy, ...] = ("stop", "skip", "go_back")

MOST_SKIPPED = 10
"""Batches in a row that are left out before the training ends."""

MOST_SAVED = 10
"""Batches of a training that are saved."""

NAMED_WEIGHTS = 3
"""Weights that a message names."""


class DivergedError(UserError):
    """A step's loss or gradients are not finite, or its loss is beyond the limit."""


class DivergenceCheck(keras.callbacks.Callback):
    """Checks each step, saves the batches of diverged ones, and raises or lets them be left out.

    The model does not apply a diverged step. A step is checked after the next one was started, so
    that a GPU never waits; and before a validation and a checkpoint.

    Args:
        policy: With `skip`, a batch is left out, and counted in `progress`; else, the check raises.
        progress: The progress of the training.
        run_folder: The run folder, for `diverged/`.
        describe: Returns what is in each row of a batch, from inputs and labels, for people.
        at_once: Whether a step is checked before the next one: several workers then stop after the
            same one.
    """

    model: TrainedModel

    def __init__(
        self,
        policy: Policy,
        progress: Progress,
        run_folder: Path,
        describe: Callable[[Any, np.ndarray], list[str]],
        at_once: bool = False,
    ) -> None:
        super().__init__()
        self.policy, self.progress = policy, progress
        self.run_folder, self.describe, self.at_once = run_folder, describe, at_once
        self._unchecked: _Step | None = None
        self._saved = 0

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        """Forgets the step that a training went back from."""
        self._unchecked = None

    def on_train_batch_end(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        """Checks the step before."""
        if not self.at_once:
            self.check()
        number = self.progress.total_steps + 1
        self._unchecked = _Step(number, self.progress.epoch + 1, self.model.batch,
                                self.model.checked)  # fmt: skip
        if self.at_once:
            self.check()

    def on_test_begin(self, logs: dict[str, Any] | None = None) -> None:
        """Checks the last step of an epoch."""
        self.check()

    def check(self) -> None:
        """Checks the steps so far.

        Raises:
            DivergedError: If one has diverged, and is not to be left out.
        """
        step, self._unchecked = self._unchecked, None
        if step is None or bool(step.checked.is_applied):
            return
        reason = self._reason(step.checked)
        text = f"step {step.number:,} (epoch {step.epoch}): {reason}."
        path = self._save(step, reason)
        if path is not None:
            command = shlex.join(["seq2seq", "inspect", str(self.run_folder), str(path)])
            text += f" Its batch is saved: {command}."
        if self.policy == "skip":
            self.progress.skipped_steps.append(step.number)
            if not self._are_too_many():
                log.warning("%s The batch is left out.", text)
                return
            text += f" {MOST_SKIPPED} batches in a row would be left out."
        raise DivergedError(
            f"Training diverged: {text} Lower optimizer.learning_rate, or clip with "
            "optimizer.global_clipnorm. The step was not applied, and the checkpoints are from "
            "before; see trainer.on_divergence for other ways than to stop."
        )

    def _are_too_many(self) -> bool:
        last = self.progress.skipped_steps[-MOST_SKIPPED:]
        return len(last) == MOST_SKIPPED and last[-1] - last[0] == MOST_SKIPPED - 1

    def _reason(self, checked: CheckedStep) -> str:
        loss, limit = float(checked.loss), self.model.loss_limit
        if not np.isfinite(loss):
            return f"the loss is {loss}"
        if abs(loss) >= limit:
            return f"the loss is {loss:,.6g}, and trainer.loss_limit is {limit:,.6g}"
        paths = [path for path, norm in self._norms(checked).items() if not np.isfinite(norm)]
        more = f" and {len(paths) - NAMED_WEIGHTS} others" if len(paths) > NAMED_WEIGHTS else ""
        return f"the gradient of {', '.join(paths[:NAMED_WEIGHTS])}{more} is not finite"

    def _norms(self, checked: CheckedStep) -> dict[str, float]:
        paths = [variable.path for variable in self.model.trainable_variables]
        return dict(zip(paths, checked.gradient_norms.numpy().tolist(), strict=True))

    def _save(self, step: "_Step", reason: str) -> Path | None:
        """Saves the batch, and returns the path; None if there are enough, or it cannot be."""
        if self._saved == MOST_SAVED:
            return None
        inputs, labels, weights = tf.nest.map_structure(lambda tensor: tensor.numpy(), step.batch)
        arrays = dict(inputs) if isinstance(inputs, dict) else {"inputs": inputs}
        batch = DivergedBatch(
            step=step.number,
            epoch=step.epoch,
            reason=reason,
            loss=float(step.checked.loss),
            learning_rate=float(keras.ops.convert_to_numpy(self.model.optimizer.learning_rate)),
            row_losses=step.checked.row_losses.numpy().tolist(),
            rows=self.describe(inputs, labels),
            gradient_norms=self._norms(step.checked),
            arrays={**arrays, "labels": labels, "weights": weights},
        )
        try:
            path = batch.save(self.run_folder / FOLDER)
        except OSError as error:
            log.warning("%s: the batch cannot be saved (%s)", self.run_folder / FOLDER, error)
            return None
        self._saved += 1
        return path


class _Step(NamedTuple):
    number: int  # from 1, over all epochs
    epoch: int  # from 1
    batch: Batch
    checked: CheckedStep
