"""`seq2seq compress`: copies a run with its weights rounded to bfloat16."""

import shutil
from pathlib import Path

import h5py
import numpy as np
import tensorflow as tf

from seq2seq.errors import UserError
from seq2seq.files import atomic_folder, write_checksums
from seq2seq.tasks.model_folder import WEIGHTS, model_folder, set_precision
from seq2seq.training.weights_file import WeightsBuffer, check_weights
from seq2seq.trust import Trust

MODEL, CONFIG = "model", ".hydra"


def compress(
    run_folder: Path, target: Path, precision: str | None = None, trust: Trust = ()
) -> None:
    """Copies a run with its matrices rounded to bfloat16; vectors such as biases stay float32.

    The time to decode single sentences is that of reading the weights, whose bytes bfloat16 halves.

    Args:
        run_folder: A run folder, or its `model` folder.
        target: The folder of the copy, which has no checkpoints, plots and logs.
        precision: The precision of the copy, see `set_precision`; None for the run's.
        trust: Further modules and classes that the run's config may name.

    Raises:
        UserError: If there is no model, it is damaged or does not support the precision, or the
            target exists already or cannot be written.
    """
    model = model_folder(run_folder)
    if target.exists():
        raise UserError(f"{target}: exists already; remove it, or name another folder")
    weights = _opened(model / WEIGHTS)
    try:
        with weights, atomic_folder(target) as temporary:
            shutil.copytree(model, temporary / MODEL, ignore=shutil.ignore_patterns(WEIGHTS))
            if precision is not None:
                set_precision(temporary / MODEL, precision, trust)
            if (run_folder / CONFIG).is_dir():
                shutil.copytree(run_folder / CONFIG, temporary / CONFIG)
            _compress_weights(weights, temporary / MODEL / WEIGHTS)
            write_checksums(temporary / MODEL)
    except OSError as error:
        raise UserError(
            f"{target}: cannot be written ({error}). Make room, or give access."
        ) from error


def weights_size(run_folder: Path) -> int:
    """Returns the size of a run's weights file in bytes."""
    return (model_folder(run_folder) / WEIGHTS).stat().st_size


def _opened(path: Path) -> h5py.File:
    try:
        check_weights(path)
        return h5py.File(path)
    except (OSError, ValueError) as error:
        raise UserError(
            f"{path}: the weights are damaged ({error}). Copy them again, or train again."
        ) from error


def _compress_weights(source: h5py.File, target: Path) -> None:
    def copy(name: str, item: h5py.Group | h5py.Dataset) -> None:
        if isinstance(item, h5py.Group):
            copied = to.require_group(name)
        else:
            # The lower two bytes of each number are zero; shuffled, they compress to nothing.
            options = {"shuffle": True, "compression": "gzip"} if item.shape else {}
            copied = to.create_dataset(name, data=rounded(item[()]), **options)
        copied.attrs.update(item.attrs)

    memory = WeightsBuffer()
    with h5py.File(memory, "w") as to:
        to.attrs.update(source.attrs)
        source.visititems(copy)
    target.write_bytes(memory.getbuffer())


def rounded(values: np.ndarray) -> np.ndarray:
    """Rounds float32 values of two or more axes to bfloat16; returns others unchanged."""
    if values.dtype != np.float32 or values.ndim < 2:
        return values
    nearest: np.ndarray = tf.cast(tf.cast(values, tf.bfloat16), tf.float32).numpy()
    return nearest
