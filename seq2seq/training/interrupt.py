"""Ctrl-C and SIGTERM end a training between two steps, never inside one."""

import logging
import signal
from types import FrameType, TracebackType
from typing import Any

import keras

log = logging.getLogger(__name__)


class TrainingInterrupted(Exception):  # noqa: N818 - not an error
    """The user (or the system) asked the training to stop."""


class StopBetweenSteps(keras.callbacks.Callback):
    """Turns a first Ctrl-C or SIGTERM into `TrainingInterrupted` at the end of the step.

    A second one acts at once. Use as a context manager around `fit`, and as its last callback: the
    step that it ends with is then counted.
    """

    def __init__(self) -> None:
        super().__init__()
        self.requested = False
        self.previous: dict[int, Any] = {}

    def __enter__(self) -> "StopBetweenSteps":
        for number in (signal.SIGINT, signal.SIGTERM):
            try:
                self.previous[number] = signal.signal(number, self._request)
            except ValueError:  # not in the main thread: signals are not ours to take
                break
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._restore()

    def _restore(self) -> None:
        for number, handler in self.previous.items():
            signal.signal(number, handler)
        self.previous = {}

    def _request(self, number: int, frame: FrameType | None) -> None:
        self.requested = True
        log.info("stopping as soon as this step (or validation) is done; again to stop at once")
        for each in self.previous:  # not Python's handler, which a long operation keeps waiting
            signal.signal(each, signal.SIG_DFL)

    def on_train_batch_end(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        """Raises if a stop was requested; after an epoch's last step only `on_epoch_end` does."""
        if self.requested and self.params["first_step"] + batch + 1 < self.params["steps"]:
            raise TrainingInterrupted

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Raises if a stop was requested."""
        if self.requested:
            raise TrainingInterrupted
