"""Shows on stderr what is being done: a spinner or bar at a terminal, plain lines in a log."""

import logging
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from multiprocessing import current_process
from typing import TextIO

from rich.console import Console
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.spinner import Spinner
from rich.table import Table

from seq2seq.terminal import PlainConsole, plain

log = logging.getLogger(__name__)

SECONDS_BETWEEN_LINES, LATER_SECONDS_BETWEEN_LINES = 2.0, 10.0
"""In a log, during the first minute of a step, and later."""


def clock(seconds: float) -> str:
    """Formats a duration as `m:ss` or `h:mm:ss`."""
    minutes, second = divmod(round(seconds), 60)
    hours, minute = divmod(minutes, 60)
    return f"{hours}:{minute:02}:{second:02}" if hours else f"{minute}:{second:02}"


@dataclass(eq=False)
class Step:
    """A part of the work that is shown while it lasts."""

    name: str
    done: int = 0
    total: int | None = None
    detail: str = ""
    start: float = field(default_factory=time.monotonic)

    def report(self, done: int, total: int | None, detail: str = "") -> None:
        """Sets how much of the step is done, of a total if that is known."""
        self.done, self.total, self.detail = done, total, detail

    def state(self) -> str:
        """Returns how much is done, and the detail or else the elapsed time."""
        count = f"{self.done:,}/{self.total:,}" if self.total else f"{self.done:,}"
        state = self.detail or clock(time.monotonic() - self.start)
        return f"{count}, {state}" if self.done or self.total else state


class Display(logging.Handler):
    """Prints log lines, and the steps that are being done.

    Args:
        console: Shows a spinner or bar for each step if it is a terminal, else lines.
        level: The least level of the log lines; steps are of the level INFO.
    """

    def __init__(self, console: Console, level: int) -> None:
        super().__init__(level)
        self.console, self.steps = console, list[Step]()
        # Several processes at one terminal would overwrite each other's bars.
        is_worker = current_process().name != "MainProcess"
        self.is_live = console.is_interactive and console.file.isatty() and not is_worker
        self._spinner, self._shown = Spinner("dots"), ExitStack()

    def emit(self, record: logging.LogRecord) -> None:
        """Prints a log line, above the bars and without wrapping it."""
        if self.is_live and record.name == log.name:  # it is shown as a bar
            return
        self.console.print(self.format(record), markup=False, highlight=False, soft_wrap=True)

    def begin(self, step: Step) -> None:
        """Shows a step, below those that are being done, and logs it."""
        self.steps.append(step)
        if len(self.steps) == 1 and self.level <= logging.INFO:
            self._shown.enter_context(self._live() if self.is_live else self._lines())
        log.info("%s", step.name)  # last: on a busy disk, a log file may be written slowly

    def end(self, step: Step) -> None:
        """Removes a step, and, after the last one, stops the thread that shows them."""
        self.steps = [other for other in self.steps if other is not step]
        if not self.steps:
            self._shown.close()

    def _live(self) -> Live:
        return Live(
            console=self.console,
            get_renderable=self._rows,
            transient=True,
            redirect_stdout=False,  # results may go to a pipe
            redirect_stderr=False,
            refresh_per_second=10,
        )

    def _rows(self) -> Table:
        table = Table.grid(padding=(0, 1))
        for step in list(self.steps):
            bar = ProgressBar(step.total, step.done, width=16) if step.total else ""
            table.add_row(self._spinner, plain(step.name), bar, plain(step.state()))
        return table

    @contextmanager
    def _lines(self) -> Iterator[None]:
        """Logs a line in intervals for the innermost step until the block ends."""
        stop = threading.Event()

        def write() -> None:
            interval = SECONDS_BETWEEN_LINES
            while not stop.wait(interval):
                for step in self.steps[-1:]:
                    age = time.monotonic() - step.start
                    interval = SECONDS_BETWEEN_LINES if age < 60 else LATER_SECONDS_BETWEEN_LINES
                    if age > SECONDS_BETWEEN_LINES / 2:
                        log.info("%s: %s", step.name, step.state())

        thread = threading.Thread(target=write, name="progress", daemon=True)
        thread.start()
        try:
            yield
        finally:
            stop.set()
            thread.join()


_display: Display | None = None
_level = logging.INFO


def set_verbosity(level: int = logging.INFO) -> None:
    """Shows progress and log lines of the package on stderr, for the rest of the process.

    Args:
        level: `logging.WARNING` shows warnings only, and no progress; `logging.INFO` also what is
            being done; `logging.DEBUG` everything that is logged.
    """
    global _level  # noqa: PLW0603
    _level = level
    _use(Display(PlainConsole(stderr=True), level))


def verbosity() -> int:
    """Returns the level of `set_verbosity`, for other processes of the same command."""
    return _level


@contextmanager
def shown_on(console: Console) -> Iterator[None]:
    """Shows progress and log lines of the package on a console until the block ends."""
    before = _display
    _use(Display(console, _level))
    try:
        yield
    finally:
        _use(before)


@contextmanager
def writing_to(stream: TextIO) -> Iterator[None]:
    """Writes what is shown to another stream until the block ends."""
    if _display is None:
        yield
        return
    console = _display.console
    file, console.file = console.file, stream
    try:
        yield
    finally:
        console.file = file


def _use(display: Display | None) -> None:
    """Replaces the display."""
    global _display  # noqa: PLW0603
    logger = logging.getLogger("seq2seq")
    if _display is not None:
        logger.removeHandler(_display)
    _display = display
    logger.propagate = display is None  # the root logger may have handlers of libraries
    if display is not None:
        logger.addHandler(display)
        logger.setLevel(min(display.level, logging.INFO))


@contextmanager
def step(name: str) -> Iterator[Step]:
    """Shows a step until the block ends; does nothing unless there is a display.

    Example:
        >>> with step("compiling the kernels") as shown:
        ...     shown.report(1, total=8)
    """
    shown, display = Step(name), _display
    if display is None:
        yield shown
        return
    try:
        display.begin(shown)
        yield shown
    finally:
        display.end(shown)


def report(done: int, total: int | None = None) -> None:
    """Sets how much is done of the innermost step that is shown, if there is one."""
    if _display is not None and _display.steps:
        _display.steps[-1].report(done, total)
