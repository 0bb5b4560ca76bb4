"""Imports TensorFlow and Keras for a command."""

import gc
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TextIO

from seq2seq.blocked_imports import imports_blocked
from seq2seq.errors import UserError
from seq2seq.progress import step, writing_to

_NOT_NEEDED = ("matplotlib", "pandas", "sklearn")


def start_tensorflow() -> None:
    """Imports TensorFlow and Keras without messages and without Keras' optional libraries.

    The variable `SEQ2SEQ_THREADS` limits the threads of TensorFlow and of the kernels.

    Raises:
        UserError: If `SEQ2SEQ_THREADS` is not a number above 0.
    """
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")  # also for its later messages
    if threads := os.environ.get("SEQ2SEQ_THREADS"):
        if not (threads.isdecimal() and int(threads) > 0):
            raise UserError(f"SEQ2SEQ_THREADS={threads}: has to be a number of threads above 0")
        os.environ.setdefault("TF_NUM_INTRAOP_THREADS", threads)
    if "keras" in sys.modules:
        return
    with (
        step("starting TensorFlow"),
        _stderr_discarded() as stderr,
        writing_to(stderr),
        imports_blocked(*_NOT_NEEDED),
        _garbage_collection_paused(),
    ):
        import keras  # noqa: F401


@contextmanager
def _garbage_collection_paused() -> Iterator[None]:
    """Collects no garbage in the block, and later none of what was made in it.

    TensorFlow makes a million objects that stay. To look for garbage among them, again and again,
    takes a third of the time of its import.
    """
    gc.collect()  # or garbage of before would stay, too
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        if enabled:
            gc.enable()


@contextmanager
def _stderr_discarded() -> Iterator[TextIO]:
    """Discards what is written to stderr; yields a stream that still writes there."""
    stderr = os.dup(2)
    devnull = os.open(os.devnull, os.O_WRONLY)
    sys.stderr.flush()
    os.dup2(devnull, 2)
    try:
        with open(stderr, "w", encoding="utf-8", closefd=False) as stream:
            yield stream
    finally:
        os.dup2(stderr, 2)
        os.close(stderr)
        os.close(devnull)
