"""A callback that ends trials without prospects early."""

import warnings
from pathlib import Path
from typing import Any

import keras
import optuna

from seq2seq.sweeps.study import TrialStudy


class StopHopeless(keras.callbacks.Callback):
    """Reports each epoch to a sweep's study, and stops the training where the pruner says so.

    The run of a pruned trial ends as by early stopping: its best epoch is evaluated and saved.

    Args:
        folder: The sweep's folder.
        trial: The trial's number.
        monitor: The metric to report.
        pruner: The Optuna pruner.
    """

    def __init__(
        self, folder: str, trial: int, monitor: str, pruner: optuna.pruners.BasePruner
    ) -> None:
        super().__init__()
        self.study = TrialStudy.read(Path(folder), pruner)
        self.number, self.monitor = trial, monitor

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Reports the epoch."""
        value = float((logs or {})[self.monitor])
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # a resumed epoch may have been reported before
            if self.study.should_prune(self.number, epoch + 1, value):
                self.model.stop_training = True
