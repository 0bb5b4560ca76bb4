"""Watching states form: pictures of a few validation inputs after each epoch."""

import shutil
from collections.abc import Callable
from itertools import islice
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from seq2seq.data.dataset import Dataset
from seq2seq.data.records import Record
from seq2seq.plots.files import save_figure
from seq2seq.tasks.base import Task
from seq2seq.tasks.generation import Generation
from seq2seq.tasks.run_callback import RunCallback
from seq2seq.tasks.state_figures import state_figures
from seq2seq.tasks.states import input_states
from seq2seq.tasks.translation import Translation

LONGEST_TEXT = 80
"""Characters of a document that are looked at."""


class StatePictures(RunCallback):
    """Draws what a model does with the first validation inputs, after each epoch.

    The pictures go to `plots/states/epoch_01/` in the run folder, and at once to where the run is
    tracked. A translation's decoder reads the reference.

    Args:
        inputs: How many inputs.
        every: The epochs from one time to the next.

    Raises:
        ValueError: If an argument is below 1.
    """

    def __init__(self, inputs: int = 2, every: int = 1) -> None:
        super().__init__()
        for name, value in {"inputs": inputs, "every": every}.items():
            if value < 1:
                raise ValueError(f"{name}: must be at least 1, got {value!r}")
        self.inputs, self.every = inputs, every

    def watch(
        self,
        task: Task,
        model: Any,
        data: Dataset,
        run_folder: Path,
        log_folder: Callable[[Path], None],
    ) -> None:
        """Takes the first inputs of the split `validation`."""
        self.task, self.trained, self.run_folder = task, model, run_folder
        self.log_folder = log_folder
        self.records = list(islice(data.records("validation"), self.inputs))

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Draws."""
        if (epoch + 1) % self.every:
            return
        with TemporaryDirectory(prefix="seq2seq-states-") as folder:
            place = Path(folder) / "plots" / "states" / f"epoch_{epoch + 1:02}"
            for number, record in enumerate(self.records, start=1):
                given, target = self._parts(record)
                found = input_states(self.task, self.trained, given, target)
                for name, figure in state_figures(found).items():
                    save_figure(figure, place / f"{number}_{name}.png", dots_per_inch=100)
            self.log_folder(Path(folder))
            shutil.copytree(folder, self.run_folder, dirs_exist_ok=True)

    def _parts(self, record: Record) -> tuple[Any, str | None]:
        """Returns what the task predicts from, and what the decoder reads."""
        if isinstance(self.task, Translation):
            return record["source"], record["target"]
        if isinstance(self.task, Generation):
            return record["text"][:LONGEST_TEXT], None
        return record, None
