"""Profiles some training steps, for TensorBoard and as a plain table."""

import logging
import os
from pathlib import Path
from typing import Any

import keras
import tensorflow as tf

from seq2seq.training.profiler_trace import STEP, read_trace
from seq2seq.training.step_times import as_text, step_times

log = logging.getLogger(__name__)

WARM_UP_STEPS = 10
TRACED_STEPS = 10


class StepProfile(keras.callbacks.Callback):
    """Traces some steps of the first epoch, and reports where their time goes.

    Steps 10 to 20 are traced; where the epoch is shorter, at most its second half. TensorBoard
    opens the folder. The table is logged and written to the folder's `step.txt`.

    Args:
        folder: Folder of the trace and the table.
    """

    def __init__(self, folder: Path) -> None:
        super().__init__()
        self.folder = folder
        self.done = self.tracing = False
        self.step: Any = None

    def on_epoch_begin(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Chooses the steps."""
        steps = self.params["steps"] - self.params["first_step"]
        self.first = min(WARM_UP_STEPS, steps // 2)
        self.last = min(self.first + TRACED_STEPS, steps) - 1

    def on_train_batch_begin(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        """Starts the trace, and marks the step in it."""
        if batch == self.first and not self.done:
            tf.profiler.experimental.start(str(self.folder))
            self.tracing = True
        if self.tracing:
            self.step = tf.profiler.experimental.Trace(STEP, step_num=batch, _r=1)
            self.step.__enter__()

    def on_train_batch_end(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        """Ends the trace after its last step, and reports."""
        if not self.tracing:
            return
        float((logs or {})["loss"])  # waits for a GPU that still runs the step
        self.step.__exit__(None, None, None)
        if batch == self.last:
            self.close()
            self.done = True
            self._report()

    def close(self) -> None:
        """Ends the trace, also after an error."""
        if self.tracing:
            self.tracing = False
            tf.profiler.experimental.stop()

    def _report(self) -> None:
        times = step_times(read_trace(self.folder), self.model.optimizer.name)
        text = as_text(times, os.cpu_count() or 1)
        path = self.folder / "step.txt"
        path.write_text(text, encoding="utf-8")
        log.info(
            "profile of a training step, also in %s (tensorboard --logdir %s shows more):\n%s",
            path,
            self.folder,
            text,
        )
