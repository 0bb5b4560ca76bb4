"""Figures of the states of a few validation inputs after each epoch."""

import shutil
from collections.abc import Callable
from itertools import islice
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from seq2seq.data.dataset import Dataset
from seq2seq.models.base import SequenceModel
from seq2seq.plots.figure import save_figure
from seq2seq.tasks.base import Task
from seq2seq.tasks.run_callback import RunCallback
from seq2seq.tasks.states import input_states, state_figures


class StatePictures(RunCallback):
    """Draws the states of the first validation inputs, after each epoch.

    The figures go to `plots/states/epoch_01/` in the run folder, and at once to the tracked run. A
    translation's decoder reads the reference.

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
        task: Task[Any, Any],
        model: SequenceModel,
        data: Dataset,
        run_folder: Path,
        log_folder: Callable[[Path], None],
    ) -> None:
        """Takes the first inputs of the split `validation`."""
        self.task, self.trained, self.run_folder = task, model, run_folder
        self.log_folder = log_folder
        records = islice(data.records("validation"), self.inputs)
        self.parts = [task.observed_parts(record) for record in records]

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Draws."""
        if (epoch + 1) % self.every:
            return
        with TemporaryDirectory(prefix="seq2seq-states-") as folder:
            target_folder = Path(folder) / "plots" / "states" / f"epoch_{epoch + 1:02}"
            for number, (example, target) in enumerate(self.parts, start=1):
                states = input_states(self.task, self.trained, example, target)
                for name, figure in state_figures(states).items():
                    path = target_folder / f"{number}_{name}.png"
                    save_figure(figure, path, dots_per_inch=100)
            self.log_folder(Path(folder))
            shutil.copytree(folder, self.run_folder, dirs_exist_ok=True)
