"""Escapes control characters from data and models, which could manipulate a terminal."""

import io
import logging
import sys
from collections.abc import Iterable, Sequence
from typing import TextIO, cast

from rich.console import Console, ConsoleOptions, RenderableType
from rich.segment import Segment
from rich.table import Table
from rich.text import Text

_ALLOWED = "\n\t"
_CONTROLS = [*range(0x20), *range(0x7F, 0xA0)]
_DIRECTIONS = [*range(0x202A, 0x202F), *range(0x2066, 0x206A)]
"""Bidirectional overrides, which can make a text look like another one."""
_BREAKS = [0x2028, 0x2029]


class _Escapes(dict[int, str]):
    """Maps character codes to escapes, also those of unpaired surrogates."""

    def __missing__(self, code: int) -> str:
        return f"\\u{code:04x}" if 0xD800 <= code < 0xE000 else chr(code)


_ESCAPES = _Escapes(
    {
        code: f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}"
        for code in (*_CONTROLS, *_DIRECTIONS, *_BREAKS)
        if chr(code) not in _ALLOWED
    }
)


def printable(text: str) -> str:
    r"""Escapes the control characters of a text, except line breaks and tabs.

    Example:
        >>> printable("\x1b[2Jgone")
        '\\x1b[2Jgone'
    """
    return text if text.isprintable() else text.translate(_ESCAPES)


class PrintableStream(io.TextIOBase):
    """A stream to a terminal that escapes control characters."""

    def __init__(self, terminal: TextIO) -> None:
        super().__init__()
        self._terminal = terminal

    def write(self, text: str) -> int:
        """Writes a text with its control characters escaped."""
        return self._terminal.write(printable(text))

    def flush(self) -> None:
        """Flushes the terminal."""
        self._terminal.flush()


def standard_output() -> TextIO:
    """Returns stdout in UTF-8; on a terminal, control characters are escaped."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(encoding="utf-8")
    return cast(TextIO, PrintableStream(sys.stdout)) if sys.stdout.isatty() else sys.stdout


def plain(text: str, style: str = "") -> Text:
    """Returns a text for rich, with control characters escaped and markup not interpreted."""
    return Text(printable(text), style)


class PlainConsole(Console):
    """A rich console that escapes control characters of texts, but not its own styles."""

    def render(
        self, renderable: RenderableType, options: ConsoleOptions | None = None
    ) -> Iterable[Segment]:
        """Yields the segments to print."""
        for segment in super().render(renderable, options):
            if segment.control:
                yield segment
            else:
                yield Segment(printable(segment.text), segment.style)


def fitted_table(
    titles: Sequence[str], rows: Sequence[Sequence[str]], cut: str, width: int
) -> Table:
    """Returns a table that fits a width: the column `cut` is shortened, the others stay whole."""
    texts = [[plain(cell) for cell in row] for row in rows]
    widths = [
        max(len(title), *(row[column].cell_len for row in texts)) if texts else len(title)
        for column, title in enumerate(titles)
    ]
    place = titles.index(cut)
    rest = width - sum(widths) - 2 * (len(titles) - 1) + widths[place]
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for title in titles:
        table.add_column(title, no_wrap=True)
    for row in texts:
        row[place].truncate(max(rest, 1), overflow="ellipsis")
        table.add_row(*row)
    return table


class PlainFormatter(logging.Formatter):
    """Formats log lines with control characters escaped."""

    def format(self, record: logging.LogRecord) -> str:
        """Returns the formatted line."""
        return printable(super().format(record))
