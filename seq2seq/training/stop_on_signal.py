"""Stops a training between two steps on Ctrl-C, SIGTERM or SIGHUP, or when its time is over."""

import logging
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

import keras

from seq2seq.errors import INTERRUPTED, OUT_OF_TIME, Stopped
from seq2seq.training.workers import ALONE, Workers

log = logging.getLogger(__name__)

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class TrainingInterrupted(Stopped):
    """The user, the system or a time limit asked the training to stop."""


class StopOnSignal(keras.callbacks.Callback):
    """Turns a first Ctrl-C, SIGTERM or SIGHUP into `TrainingInterrupted` at the end of the step.

    A validation stops after its current batch, and the scoring of predictions at once: when the
    training is resumed, the whole validation is done again.

    A second signal acts at once. Use as a context manager around `fit`, and as its last callback,
    so that the others have processed the step before the exception is raised.

    Args:
        minutes: The time after which the training stops in the same way; None for no limit.
        workers: The processes that stop together, after the same step.
    """

    def __init__(self, minutes: float | None = None, workers: Workers = ALONE) -> None:
        super().__init__()
        self.workers = workers
        self.exit_code: int | None = None  # of the exception to raise; None if no stop is requested
        self.previous_handlers: dict[int, Any] = {}
        self.end = None if minutes is None else time.monotonic() + 60 * minutes
        self.raises_at_once = False

    def __enter__(self) -> "StopOnSignal":
        for number in SIGNALS:
            if number == signal.SIGHUP and signal.getsignal(number) is signal.SIG_IGN:
                continue  # started by nohup
            try:
                self.previous_handlers[number] = signal.signal(number, self._request)
            except ValueError:  # only the main thread may handle signals
                break
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self.previous_handlers.items():
            signal.signal(number, handler)
        self.previous_handlers = {}

    @property
    def is_requested(self) -> bool:
        """Whether the training has to stop."""
        if self.exit_code is None and self.end is not None and time.monotonic() > self.end:
            log.info("stopping: trainer.stop_after_minutes is over")
            self.exit_code = OUT_OF_TIME
        return self.exit_code is not None

    @contextmanager
    def at_once(self) -> Iterator[None]:
        """Raises at once in the block, not at the end of a step, which it must allow anywhere."""
        self._raise_if_requested()
        self.raises_at_once = True
        try:
            yield
        finally:
            self.raises_at_once = False

    def _request(self, number: int, frame: FrameType | None) -> None:
        self.exit_code = 128 + number
        log.info("stopping after this step, with a checkpoint; again to stop at once")
        for handled in self.previous_handlers:  # Python's own handler waits for long operations
            signal.signal(handled, signal.SIG_DFL)
        if self.raises_at_once:
            self._raise_if_requested()

    def _raise_if_requested(self) -> None:
        if self.is_requested:
            raise TrainingInterrupted("", self.exit_code or INTERRUPTED)

    def on_train_batch_end(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        """Raises if a stop was requested; after an epoch's last step, the validation does."""
        if self.params["first_step"] + batch + 1 < self.params["steps"]:
            self._raise_together()

    def on_test_batch_end(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        """Raises if a stop was requested."""
        self._raise_together()

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Raises if a stop was requested."""
        self._raise_together()

    def _raise_together(self) -> None:
        """Raises if a stop was requested of any worker."""
        code = self.workers.highest(self.exit_code or 0 if self.is_requested else 0)
        if code:
            raise TrainingInterrupted("", code)
