"""Callbacks that see the whole run: the task, the data and the run folder."""

from abc import ABC, abstractmethod
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras

from seq2seq.data.dataset import Dataset
from seq2seq.models.base import SequenceModel
from seq2seq.tasks.base import Task


class RunCallback(keras.callbacks.Callback, ABC):
    """A Keras callback of `trainer.callbacks` that gets the run before it trains.

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
        task: Task[Any, Any],
        model: SequenceModel,
        data: Dataset,
        run_folder: Path,
        log_folder: Callable[[Path], None],
    ) -> None:
        """Receives the run; called once, before the training.

        Args:
            task: The prepared task.
            model: The model that is trained.
            data: The splits `train`, `validation` and `test`.
            run_folder: The run folder.
            log_folder: Copies a folder's files to the tracked run.
        """
