"""Callbacks that look beyond the weights: at the task, the data and the run folder."""

from abc import ABC, abstractmethod
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras

from seq2seq.data.dataset import Dataset
from seq2seq.tasks.base import Task


class RunCallback(keras.callbacks.Callback, ABC):
    """A Keras callback of `trainer.callbacks` that is told of the run before it trains.

    Example:
        >>> class Diary(RunCallback):
        ...     def watch(self, task, model, data, run_folder, log_folder):
        ...         self.task, self.trained, self.path = task, model, run_folder / "diary.txt"
        ...         self.source = next(iter(data.records("validation")))["source"]
        ...
        ...     def on_epoch_end(self, epoch, logs=None):
        ...         [row] = self.task.predict(self.trained, [self.source])
        ...         with self.path.open("a") as file:
        ...             print(row["prediction"], file=file)
    """

    @abstractmethod
    def watch(
        self,
        task: Task,
        model: Any,
        data: Dataset,
        run_folder: Path,
        log_folder: Callable[[Path], None],
    ) -> None:
        """Says what is trained; called once, before the training.

        Args:
            task: The prepared task.
            model: The model that is trained, as its task takes it.
            data: Has the splits `train`, `validation` and `test`.
            run_folder: The run folder.
            log_folder: Keeps a copy of a folder's files where the run is tracked.
        """
