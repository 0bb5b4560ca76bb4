"""Stops a training between two steps on Ctrl-C or SIGTERM."""

import logging
import signal
from types import FrameType
from typing import Any

import keras

log = logging.getLogger(__name__)


class TrainingInterrupted(Exception):  # noqa: N818 - not an error
    """The user (or the system) asked the training to stop."""


class StopOnSignal(keras.callbacks.Callback):
    """Turns a first Ctrl-C or SIGTERM into `TrainingInterrupted` at the end of the step.

    A second one acts at once. Use as a context manager around `fit`, and as its last callback, so
    that the others have processed the step before the exception is raised.
    """

    def __init__(self) -> None:
        super().__init__()
        self.requested = False
        self.previous_handlers: dict[int, Any] = {}

    def __enter__(self) -> "StopOnSignal":
        for number in (signal.SIGINT, signal.SIGTERM):
            try:
                self.previous_handlers[number] = signal.signal(number, self._request)
            except ValueError:  # only the main thread may handle signals
                break
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self.previous_handlers.items():
            signal.signal(number, handler)
        self.previous_handlers = {}

    def _request(self, number: int, frame: FrameType | None) -> None:
        self.requested = True
        log.info("stopping as soon as this step (or validation) is done; again to stop at once")
        for handled in self.previous_handlers:  # Python's own handler waits for long operations
            signal.signal(handled, signal.SIG_DFL)

    def on_train_batch_end(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        """Raises if a stop was requested; after an epoch's last step only `on_epoch_end` does."""
        if self.requested and self.params["first_step"] + batch + 1 < self.params["steps"]:
            raise TrainingInterrupted

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Raises if a stop was requested."""
        if self.requested:
            raise TrainingInterrupted
