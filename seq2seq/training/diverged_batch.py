"""The file of a batch on which a training has diverged."""

import json
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from seq2seq.errors import UserError
from seq2seq.files import atomic_file

FOLDER = "diverged"
"""The folder of the files in a run folder."""

_ABOUT = "about"


@dataclass(frozen=True)
class DivergedBatch:
    """A batch whose loss or gradients were not finite, or whose loss was beyond the limit.

    Attributes:
        step: The training step, counted from 1 over all epochs.
        epoch: Its epoch, counted from 1.
        reason: What was wrong, in a few words.
        loss: The loss that training minimises, a mean over the batch.
        learning_rate: The learning rate of the step.
        row_losses: The mean loss of the elements of each row.
        rows: What is in each row, for people.
        gradient_norms: The norm of the gradient of each weight, by its path.
        arrays: The batch: its inputs by name, `labels` and `weights`.
    """

    step: int
    epoch: int
    reason: str
    loss: float
    learning_rate: float
    row_losses: list[float]
    rows: list[str]
    gradient_norms: dict[str, float]
    arrays: Mapping[str, np.ndarray]

    def save(self, folder: Path) -> Path:
        """Writes `step_N.npz`, and returns its path; raises an `OSError` if it cannot."""
        about = {name: value for name, value in vars(self).items() if name != "arrays"}
        path = folder / f"step_{self.step}.npz"
        folder.mkdir(parents=True, exist_ok=True)
        with atomic_file(path) as temporary:
            arrays = {f"batch/{name}": array for name, array in self.arrays.items()}
            text = np.array(json.dumps(about, ensure_ascii=False))
            np.savez_compressed(temporary, allow_pickle=False, **{_ABOUT: text}, **arrays)
        return path

    @classmethod
    def load(cls, path: Path) -> "DivergedBatch":
        """Reads a file.

        Raises:
            UserError: If it cannot be read, or is not such a file.
        """
        try:
            with np.load(path, allow_pickle=False) as file:
                about = json.loads(str(file[_ABOUT]))
                names = [name for name in file.files if name != _ABOUT]
                arrays = {name.removeprefix("batch/"): file[name] for name in names}
            batch = cls(**about, arrays=arrays)
            if not len(batch.rows) == len(batch.row_losses) == len(batch.arrays["labels"]):
                raise ValueError("its numbers of rows differ")
        except OSError as error:
            raise UserError(f"{path}: cannot be read ({error.strerror or error})") from error
        except (ValueError, KeyError, TypeError, EOFError, zipfile.BadZipFile) as error:
            raise UserError(
                f"{path}: not a batch of RUN/{FOLDER}/, or damaged ({error})"
            ) from error
        return batch
