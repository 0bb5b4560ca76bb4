"""Complete checkpoints: weights, optimizer, random states and progress in one file."""

import json
import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import h5py
import keras
import tensorflow as tf

from seq2seq.errors import UserError

FORMAT = 2


@dataclass
class Progress:
    """Where a training stands.

    Attributes:
        epoch: Epochs completed.
        step: Steps done of the epoch that comes next.
        total_steps: Optimizer steps since the start.
        target_tokens: Real target tokens trained on since the start.
        seconds: Time spent in training and validation since the start.
        training_seconds: Time spent in training steps alone.
        waiting_seconds: The part of it in which steps waited for their batches.
        best: Best value of the monitored metric so far.
        best_epoch: The epoch (counted from 1) that reached it.
        metrics: The metrics of the epoch that comes next, after its first steps.
        callbacks: Counters of the other callbacks, so that patience goes on counting.
        learning_rate: The optimizer's learning rate as it was configured.
        identity: What the order of the batches depends on.
        history: Metrics by epoch.
        costs: What had been spent at the end of each epoch: `seconds`, the part of them that is
            `training_seconds`, and `target_tokens`.
    """

    epoch: int = 0
    step: int = 0
    total_steps: int = 0
    target_tokens: int = 0
    seconds: float = 0.0
    training_seconds: float = 0.0
    waiting_seconds: float = 0.0
    best: float | None = None
    best_epoch: int = 0
    metrics: list[float] = field(default_factory=list)
    callbacks: dict[str, dict[str, int | float]] = field(default_factory=dict)
    learning_rate: float | None = None
    identity: str = ""
    history: list[dict[str, float]] = field(default_factory=list)
    costs: list[dict[str, float]] = field(default_factory=list)

    @property
    def waiting_share(self) -> float:
        """The share of the time in training steps in which they waited for batches, 0 to 1."""
        return self.waiting_seconds / self.training_seconds if self.training_seconds else 0.0


def random_states(model: keras.Model) -> list[keras.Variable]:
    """Returns the states of the model's dropout layers, which Keras leaves out of weights files."""
    return [v for v in model.variables if v.path.endswith("seed_generator_state")]


def save_checkpoint(
    path: Path, model: keras.Model, averages: Sequence[tf.Variable], progress: Progress
) -> None:
    """Writes aside, then renames: a crash or a full disk leaves the previous checkpoint whole.

    Args:
        path: A file ending in `.weights.h5`.
        model: A compiled model; its optimizer and dropout states are saved too.
        averages: The moving averages of its weights, if there are any.
        progress: Where the training stands.

    Raises:
        UserError: If the file cannot be written.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    aside = path.with_name(f"aside-{os.getpid()}-{path.name}")
    try:
        model.save_weights(aside)
        with h5py.File(aside, "a") as file:
            for name, states in _beside(model, averages).items():
                group = file.create_group(name)
                for number, state in enumerate(states):
                    group[str(number)] = state.numpy()
            file.attrs["seq2seq"] = json.dumps({"format": FORMAT, **asdict(progress)})
        with open(aside, "rb") as file:
            os.fsync(file.fileno())
        os.replace(aside, path)
    except OSError as error:
        raise UserError(
            f"{path}: cannot write the checkpoint ({error}). Make room or choose another "
            "hydra.run.dir; the checkpoint before it is untouched."
        ) from error
    finally:
        aside.unlink(missing_ok=True)


def _beside(model: keras.Model, averages: Sequence[tf.Variable]) -> dict[str, Sequence[Any]]:
    """Returns the variables that Keras leaves out of its weights files, by group."""
    return {"random_states": random_states(model), "averages": averages}


def load_checkpoint(path: Path, model: keras.Model, averages: Sequence[tf.Variable]) -> Progress:
    """Restores what `save_checkpoint` has saved, into the same places.

    Raises:
        UserError: If the file is damaged, from a newer version, or of another model.
    """
    try:
        with h5py.File(path) as file:
            state = json.loads(file.attrs["seq2seq"])
            saved = {
                name: [file[f"{name}/{number}"][()] for number in range(len(file[name]))]
                for name in _beside(model, averages)
            }
        if state.pop("format") > FORMAT:
            raise UserError(f"{path}: written by a newer seq2seq; upgrade seq2seq to go on from it")
        model.load_weights(path)
        for name, variables in _beside(model, averages).items():
            for variable, value in zip(variables, saved[name], strict=True):
                variable.assign(value)
        return Progress(**state)
    except (OSError, KeyError, ValueError, TypeError) as error:
        raise UserError(
            f"{path}: not a checkpoint of this model ({type(error).__name__}: "
            f"{str(error).splitlines()[0]}). It is damaged, or the model's config has changed; "
            "start a new run instead."
        ) from error
