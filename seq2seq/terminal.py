"""Text for people: what data, models and files hold cannot command a terminal."""

import io
import logging
import sys
from collections.abc import Iterable
from typing import TextIO, cast

from rich.console import Console, ConsoleOptions, RenderableType
from rich.segment import Segment
from rich.text import Text

_KEPT = "\n\t"
_CONTROLS = [*range(0x20), *range(0x7F, 0xA0)]
_DIRECTIONS = [*range(0x202A, 0x202F), *range(0x2066, 0x206A)]
"""Bidirectional overrides, which make a text look like another one."""
_BREAKS = [0x2028, 0x2029]


class _Escapes(dict[int, str]):
    """Writes out what is not to be printed; unpaired surrogates cannot be, so they are, too."""

    def __missing__(self, code: int) -> str:
        return f"\\u{code:04x}" if 0xD800 <= code < 0xE000 else chr(code)


_ESCAPES = _Escapes(
    {
        code: f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}"
        for code in (*_CONTROLS, *_DIRECTIONS, *_BREAKS)
        if chr(code) not in _KEPT
    }
)


def printable(text: str) -> str:
    r"""Returns a text whose control characters are written out; line breaks and tabs stay.

    Example:
        >>> printable("\x1b[2Jgone")
        '\\x1b[2Jgone'
    """
    return text if text.isprintable() else text.translate(_ESCAPES)


class PrintableStream(io.TextIOBase):
    """A stream to a terminal, to which only printable text is written."""

    def __init__(self, terminal: TextIO) -> None:
        super().__init__()
        self._terminal = terminal

    def write(self, text: str) -> int:
        """Writes what is printable of a text, and its control characters written out."""
        return self._terminal.write(printable(text))

    def flush(self) -> None:
        """Flushes the terminal."""
        self._terminal.flush()


def standard_output() -> TextIO:
    """Returns stdout in UTF-8: as it is for a file or another program, printable on a terminal."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(encoding="utf-8")
    return cast(TextIO, PrintableStream(sys.stdout)) if sys.stdout.isatty() else sys.stdout


def plain(text: str, style: str = "") -> Text:
    """Returns a text for tables, without control sequences and markup."""
    return Text(printable(text), style)


class PlainConsole(Console):
    """A console whose texts cannot hold control sequences; its own colours and bars can."""

    def render(
        self, renderable: RenderableType, options: ConsoleOptions | None = None
    ) -> Iterable[Segment]:
        """Yields what is printed."""
        for segment in super().render(renderable, options):
            if segment.control:
                yield segment
            else:
                yield Segment(printable(segment.text), segment.style)


class PlainFormatter(logging.Formatter):
    """Formats log lines without control sequences."""

    def format(self, record: logging.LogRecord) -> str:
        """Returns the line."""
        return printable(super().format(record))
