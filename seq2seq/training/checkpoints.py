"""Checkpoint files: weights, optimizer, random states and progress."""

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
from seq2seq.run_folder import CheckpointKind, checkpoint_path
from seq2seq.training.weights_file import (
    WeightsBuffer,
    check_weights,
    read_weights,
    save_to_memory,
)

FORMAT = 4
CHECKSUM_SINCE = 3
"""The first format whose files end with a checksum."""


@dataclass
class Progress:
    """Progress of a training since its start, also before it was resumed.

    Its fields are those of the checkpoint file.
    """

    epoch: int = 0  # completed epochs
    step: int = 0  # completed steps of the current epoch
    total_steps: int = 0
    target_tokens: int = 0  # without padding
    seconds: float = 0.0  # of training and validation
    training_seconds: float = 0.0  # of training steps alone
    waiting_seconds: float = 0.0  # of training steps that waited for their batches
    # Value of the monitored metric, epoch (from 1) and step of the best checkpoints, best first.
    ranking: list[tuple[float, int, int]] = field(default_factory=list)
    metrics: list[float] = field(default_factory=list)  # metric variables of the current epoch
    logged: tuple[float, float] = (0.0, 0.0)  # sum and number of the epoch's losses at the last log
    callbacks: dict[str, dict[str, int | float]] = field(default_factory=dict)  # their counters
    learning_rate: float | None = None  # as configured
    rate_factor: float = 1.0  # lowers it, after the training has diverged
    skipped_steps: list[int] = field(default_factory=list)  # whose batches were left out
    identity: str = ""  # identifies the order of the batches
    history: list[dict[str, float]] = field(default_factory=list)  # metrics by epoch
    costs: list[dict[str, float]] = field(default_factory=list)  # seconds and tokens by epoch

    @property
    def epoch_start(self) -> int:
        """The total steps at the start of the current epoch."""
        return self.total_steps - self.step

    @property
    def best(self) -> float | None:
        """The best value of the monitored metric; None if there is none."""
        return self.ranking[0][0] if self.ranking else None

    @property
    def best_epoch(self) -> int:
        """The epoch of that value, counted from 1; 0 if there is none."""
        return self.ranking[0][1] if self.ranking else 0

    @property
    def waiting_share(self) -> float:
        """The share of the training time in which steps waited for their batches, 0 to 1."""
        return self.waiting_seconds / self.training_seconds if self.training_seconds else 0.0


def random_states(model: keras.Model) -> list[keras.Variable]:
    """Returns the random states of dropout layers, which Keras does not save."""
    return [variable for variable in model.variables if is_random_state(variable)]


def is_random_state(variable: keras.Variable) -> bool:
    """Returns whether a variable is the state of random numbers of a layer."""
    return bool(variable.path.endswith("seed_generator_state"))


def checkpoint_content(
    model: keras.Model, averages: Sequence[tf.Variable], progress: Progress
) -> WeightsBuffer:
    """Returns the content of a checkpoint file: a copy of the whole state of a training.

    Args:
        model: A compiled model; its optimizer and dropout states are copied too.
        averages: The moving averages of its weights, if any.
        progress: The progress of the training.
    """
    memory = save_to_memory(model)
    with h5py.File(memory, "a") as file:
        for name, states in _extra_variables(model, averages).items():
            group = file.create_group(name)
            for number, state in enumerate(states):
                group[str(number)] = state.numpy()
        file.attrs["seq2seq"] = json.dumps({"format": FORMAT, **asdict(progress)})
    return memory


def _extra_variables(
    model: keras.Model, averages: Sequence[tf.Variable]
) -> dict[str, Sequence[Any]]:
    """Returns the variables that Keras does not save, by their group in the file."""
    return {"random_states": random_states(model), "averages": averages}


def load_checkpoint(path: Path, model: keras.Model, averages: Sequence[tf.Variable]) -> Progress:
    """Restores model, optimizer, averages and progress.

    Raises:
        UserError: If the file is damaged, from a newer version, or of another model.
    """
    with _describe_damage(path):
        memory = _read(path, model)
        with h5py.File(memory, "r") as file:
            state = json.loads(file.attrs["seq2seq"])
            saved = {
                name: [file[f"{name}/{number}"][()] for number in range(len(file[name]))]
                for name in _extra_variables(model, averages)
            }
        progress = progress_of(state)
        model.load_weights(memory)
        for name, variables in _extra_variables(model, averages).items():
            for variable, value in zip(variables, saved[name], strict=True):
                variable.assign(value)
        return progress


def load_best(path: Path, model: keras.Model) -> None:
    """Restores the weights and optimizer of a checkpoint alone; raises a `UserError` on damage."""
    with _describe_damage(path):
        model.load_weights(_read(path, model))


def check_checkpoint(path: Path, model: keras.Model) -> None:
    """Checks a checkpoint without loading it; raises a `UserError` on damage."""
    with _describe_damage(path):
        _read(path, model)


def progress_of(state: dict[str, Any]) -> Progress:
    """Returns the progress that JSON holds; files before format 4 have one best checkpoint."""
    if state.pop("format", FORMAT) < 4:
        best, epoch = state.pop("best"), state.pop("best_epoch")
        state["ranking"] = [(best, epoch, state["history"][epoch - 1]["step"])] if epoch else []
    state["ranking"] = [(best, epoch, step) for best, epoch, step in state["ranking"]]
    return Progress(**state)


def rename_older(folder: Path) -> None:
    """Gives the checkpoints of versions before 0.2, which had one of each kind, their names now.

    Raises:
        UserError: If one is damaged.
    """
    kinds: tuple[CheckpointKind, ...] = ("best", "last")
    for kind in kinds:
        path = folder / f"{kind}.weights.h5"
        if path.is_file():
            with _describe_damage(path), h5py.File(path, "r") as file:
                step = int(json.loads(file.attrs["seq2seq"])["total_steps"])
            path.rename(checkpoint_path(folder, kind, step))


def _read(path: Path, model: keras.Model) -> WeightsBuffer:
    """Reads and checks a checkpoint."""
    memory, has_checksum = read_weights(path)
    values = sum(int(np.prod(variable.shape)) for variable in model.variables)
    # The model's variables, the optimizer's two for each, and the averages.
    check_weights(memory, max_values=4 * values)
    with h5py.File(memory, "r") as file:
        version = json.loads(file.attrs["seq2seq"])["format"]
    if version > FORMAT:
        raise UserError(f"{path}: written by a newer seq2seq; upgrade seq2seq to go on from it")
    if version >= CHECKSUM_SINCE and not has_checksum:
        raise ValueError("its end is missing")
    return memory


@contextmanager
def _describe_damage(path: Path) -> Iterator[None]:
    """Turns the errors of reading a damaged checkpoint into one `UserError`."""
    try:
        yield
    except (OSError, KeyError, ValueError, TypeError, RuntimeError) as error:
        reason = (str(error) or "no message").splitlines()[0]
        raise UserError(
            f"{path}: not a checkpoint of this model ({type(error).__name__}: {reason}). It is "
            "damaged, or the model's config has changed; copy it again, or start a new run."
        ) from error
