"""Complete checkpoints: weights, optimizer, random states and progress in one file."""

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import h5py
import keras
import numpy as np
import tensorflow as tf

from seq2seq.errors import UserError
from seq2seq.training.weights_file import (
    WeightsInMemory,
    check_weights,
    read_weights,
    weights_of,
    write_weights,
)

FORMAT = 3
SEALED_SINCE = 3
"""The first format whose files end with a checksum."""


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
        logged: The sum of the epoch's losses, and the number of elements, up to the last training
            loss that was logged.
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
    logged: tuple[float, float] = (0.0, 0.0)
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
    """Writes a checkpoint whole: a crash or a full disk leaves the one before it as it was.

    Args:
        path: A file ending in `.weights.h5`.
        model: A compiled model; its optimizer and dropout states are saved too.
        averages: The moving averages of its weights, if there are any.
        progress: Where the training stands.

    Raises:
        UserError: If the file cannot be written.
    """
    try:
        memory = weights_of(model)
        with h5py.File(memory, "a") as file:
            for name, states in _beside(model, averages).items():
                group = file.create_group(name)
                for number, state in enumerate(states):
                    group[str(number)] = state.numpy()
            file.attrs["seq2seq"] = json.dumps({"format": FORMAT, **asdict(progress)})
        write_weights(path, memory)
    except OSError as error:
        raise UserError(
            f"{path}: cannot write the checkpoint ({error}). Make room or choose another "
            "hydra.run.dir; the checkpoint before it is untouched."
        ) from error


def _beside(model: keras.Model, averages: Sequence[tf.Variable]) -> dict[str, Sequence[Any]]:
    """Returns the variables that Keras leaves out of its weights files, by group."""
    return {"random_states": random_states(model), "averages": averages}


def load_checkpoint(path: Path, model: keras.Model, averages: Sequence[tf.Variable]) -> Progress:
    """Restores what `save_checkpoint` has saved, into the same places.

    Raises:
        UserError: If the file is damaged, from a newer version, or of another model.
    """
    with _damage_named(path):
        memory = _checked(path, model)
        with h5py.File(memory, "r") as file:
            state = json.loads(file.attrs["seq2seq"])
            saved = {
                name: [file[f"{name}/{number}"][()] for number in range(len(file[name]))]
                for name in _beside(model, averages)
            }
        del state["format"]
        progress = Progress(**state)
        model.load_weights(memory)
        for name, variables in _beside(model, averages).items():
            for variable, value in zip(variables, saved[name], strict=True):
                variable.assign(value)
        return progress


def load_best(path: Path, model: keras.Model) -> None:
    """Restores the weights of the best epoch.

    Raises:
        UserError: If the file is missing, damaged, or of another model.
    """
    with _damage_named(path):
        model.load_weights(_checked(path, model))


def check_checkpoint(path: Path, model: keras.Model) -> None:
    """Looks whether a checkpoint is as it was written, without loading it.

    Raises:
        UserError: If it is not.
    """
    with _damage_named(path):
        _checked(path, model)


def _checked(path: Path, model: keras.Model) -> WeightsInMemory:
    """Reads a checkpoint that can be loaded."""
    memory, sealed = read_weights(path)
    values = sum(int(np.prod(variable.shape)) for variable in model.variables)
    # Beside the model's variables there are the optimizer's, two for each, and the averages.
    check_weights(memory, most_values=4 * values)
    with h5py.File(memory, "r") as file:
        written = json.loads(file.attrs["seq2seq"])["format"]
    if written > FORMAT:
        raise UserError(f"{path}: written by a newer seq2seq; upgrade seq2seq to go on from it")
    if written >= SEALED_SINCE and not sealed:
        raise ValueError("its end is missing")
    return memory


@contextmanager
def _damage_named(path: Path) -> Iterator[None]:
    """Turns what reading a damaged checkpoint raises into one message.

    Raises:
        UserError: If the block raised one of these errors.
    """
    try:
        yield
    except (OSError, KeyError, ValueError, TypeError, RuntimeError) as error:
        reason = (str(error) or "no message").splitlines()[0]
        raise UserError(
            f"{path}: not a checkpoint of this model ({type(error).__name__}: {reason}). It is "
            "damaged, or the model's config has changed; copy it again, or start a new run."
        ) from error
