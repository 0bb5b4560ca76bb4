"""The file `train.log` of a run folder."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from seq2seq.terminal import PlainFormatter


class LogFile(logging.FileHandler):
    """A log file that a full disk may cut: the training goes on, and the terminal has the log."""

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802 - of logging
        """Ignores an error of writing."""


@contextmanager
def log_to(run_folder: Path) -> Iterator[None]:
    """Writes the package's log, with times, to `train.log`."""
    run_folder.mkdir(parents=True, exist_ok=True)
    to_file = LogFile(run_folder / "train.log", encoding="utf-8")
    to_file.setFormatter(PlainFormatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))
    logger = logging.getLogger("seq2seq")
    logger.addHandler(to_file)
    try:
        yield
    finally:
        logger.removeHandler(to_file)
        with suppress(OSError):
            to_file.close()
