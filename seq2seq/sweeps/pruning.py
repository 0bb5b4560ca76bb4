"""Hopeless trials end early."""

import warnings
from pathlib import Path
from typing import Any

import keras
import optuna

from seq2seq.sweeps.study import TrialStudy


class StopHopeless(keras.callbacks.Callback):
    """Reports each epoch to a sweep's study, and ends the training where that asks for it.

    The run of a hopeless trial ends as by early stopping: its best epoch is scored and kept.

    Args:
        folder: The sweep's folder.
        trial: The trial's number.
        monitor: The metric to report.
        pruner: Decides.
    """

    def __init__(
        self, folder: str, trial: int, monitor: str, pruner: optuna.pruners.BasePruner
    ) -> None:
        super().__init__()
        self.study = TrialStudy.read(Path(folder), pruner)
        self.number, self.monitor = trial, monitor

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Reports, and asks whether to go on."""
        value = float((logs or {})[self.monitor])
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # a resumed epoch may have been reported before
            if self.study.is_hopeless(self.number, epoch + 1, value):
                self.model.stop_training = True
