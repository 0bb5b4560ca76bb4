"""The weights that a training ends with: of its best checkpoint, or an average of several."""

import logging
from pathlib import Path
from typing import Literal, get_args

import keras
import numpy as np

from seq2seq.progress import step
from seq2seq.run_folder import CheckpointKind, checkpoint_path
from seq2seq.training.checkpoints import Progress, load_best

log = logging.getLogger(__name__)

FinalWeights = Literal["best", "average_of_best", "average_of_last"]
"""`best` are those of the best epoch. The averages are of the weights after the best and after the
last epochs, whose checkpoints are kept."""

CHOICES: tuple[FinalWeights, ...] = get_args(FinalWeights)


def check_final_weights(choice: str, keep: int, averaging: float, swa_start: float | None) -> None:
    """Raises a ValueError for an unknown choice, or one that does not go with other settings."""
    if choice not in CHOICES:
        raise ValueError(f"final_weights: must be one of {', '.join(CHOICES)}, got {choice!r}")
    if choice != "best" and keep < 2:
        raise ValueError(f"final_weights: {choice} needs keep=2 or more")
    if choice == "average_of_last" and (averaging or swa_start is not None):
        raise ValueError("final_weights: average_of_last needs averaging=0 and swa_start=null")


def load_final_weights(
    folder: Path, model: keras.Model, progress: Progress, choice: FinalWeights, keep: int
) -> None:
    """Loads the weights that a training ends with; without any checkpoint they stay as they are.

    Args:
        folder: The folder of the checkpoints.
        model: The compiled model.
        progress: The progress at the end of the training.
        choice: Which weights.
        keep: How many checkpoints are averaged, at most.
    """
    kind: CheckpointKind = "last" if choice == "average_of_last" else "best"
    if kind == "last":
        steps = [int(epoch["step"]) for epoch in progress.history[-keep:]]
    else:
        steps = [at_step for _, _, at_step in progress.ranking][: 1 if choice == "best" else keep]
        steps.reverse()  # the best one is loaded last
    paths = [checkpoint_path(folder, kind, at_step) for at_step in steps]
    if kind == "last":  # a run that was resumed may have kept fewer before
        paths = [path for path in paths if path.is_file()]
    if not paths:
        log.warning("no epoch had a valid value of trainer.monitor: the last weights are kept")
        return
    with step("loading the best checkpoint" if choice == "best" else "averaging checkpoints"):
        _load_average(paths, model)
    if len(paths) > 1:
        log.info("the weights are an average of %s", ", ".join(path.name for path in paths))


def _load_average(paths: list[Path], model: keras.Model) -> None:
    """Loads the last of some checkpoints, and averages the trained weights of all."""
    sums = [np.zeros(weight.shape) for weight in model.trainable_variables]
    for path in paths:
        load_best(path, model)
        for total, weight in zip(sums, model.trainable_variables, strict=True):
            np.add(total, np.asarray(weight, np.float64), out=total)
    if len(paths) > 1:
        for weight, total in zip(model.trainable_variables, sums, strict=True):
            weight.assign((total / len(paths)).astype(weight.dtype))
