"""Reads text files, plain or gzip, with clear messages for what is wrong in them."""

import codecs
import difflib
import gzip
import hashlib
import unicodedata
import zlib
from collections.abc import Iterator
from pathlib import Path

from seq2seq.data.downloads import download_advice
from seq2seq.errors import UserError

_GZIP_MAGIC = b"\x1f\x8b"
_BYTE_ORDER_MARK = "\ufeff"
_UTF_16_BYTES = 8  # enough to recognise UTF-16 by its zeros
_UTF_16_MARKS = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
_INVISIBLE_CATEGORIES = frozenset(("Zs", "Zl", "Zp", "Cc", "Cf"))
# Fillers of Hangul, the blank of Braille, and variation selectors.
_INVISIBLE = frozenset("\u115f\u1160\u3164\uffa0\u2800") | {chr(0xFE00 + n) for n in range(16)}


def is_blank(text: str) -> bool:
    """Returns whether a text has only white space, zero-width and control characters, or none.

    Example:
        >>> is_blank(" \u00a0\u200b"), is_blank("a\u200b")
        (True, False)
    """
    return not text or all(
        unicodedata.category(character) in _INVISIBLE_CATEGORIES or character in _INVISIBLE
        for character in text
    )


def find_file(directory: Path, name: str) -> Path:
    """Returns the path of a file, or of its `.gz`; raises UserError if it is missing or empty."""
    advice = download_advice(directory)
    try:
        if not directory.is_dir():
            raise UserError(f"There is no folder {directory.absolute()}. {advice}")
        for path in (directory / name, directory / f"{name}.gz"):
            if path.is_file():
                if path.stat().st_size == 0:
                    raise UserError(f"{path} is empty.")
                return path
            if path.exists():
                kind = "a folder" if path.is_dir() else "a pipe or device"
                raise UserError(f"{path} is {kind}; a file is needed, since it is read repeatedly.")
    except (OSError, ValueError) as error:  # such as a name that is too long, or holds a NUL
        raise UserError(f"{directory / name}: cannot be read ({error}).") from None
    similar = difflib.get_close_matches(name, sorted(path.name for path in directory.iterdir()))
    hint = f" Did you mean {' or '.join(similar)}?" if similar else ""
    raise UserError(f"There is no file {name} in {directory.absolute()}.{hint} {advice}")


def read_lines(path: Path) -> Iterator[str]:
    """Yields the lines of a UTF-8 file without their ends.

    Only LF and CRLF end a line: characters such as U+0085 or U+2028 are text. A byte order mark
    at the start of the file is dropped.

    Raises:
        UserError: If the file cannot be read, is not valid UTF-8 (naming the line), is UTF-16, has
            line ends of CR alone, or is a damaged gzip file.
    """
    for number, line in enumerate(read_lines_with_ends(path), start=1):
        text = line.removeprefix(_BYTE_ORDER_MARK) if number == 1 else line
        yield text.removesuffix("\n").removesuffix("\r")


def read_lines_with_places(path: Path) -> Iterator[tuple[str, str]]:
    """Yields each line that is not blank, after its place, `FILE:LINE`; see `read_lines`."""
    for number, line in enumerate(read_lines(path), start=1):
        if line and not line.isspace():
            yield f"{path}:{number}", line


def read_lines_with_ends(path: Path) -> Iterator[str]:
    """Yields all lines of a UTF-8 file unchanged, with their ends; raises as `read_lines`."""
    number = 0
    try:
        with path.open("rb") as raw:
            compressed = raw.peek(2).startswith(_GZIP_MAGIC)
            with gzip.GzipFile(fileobj=raw) if compressed else raw as stream:
                for number, line in enumerate(stream, start=1):
                    if number == 1:
                        _check_first_line(line, path)
                    yield line.decode("utf-8")
    except UnicodeDecodeError as error:
        raise UserError(
            f"{path}:{number}: invalid UTF-8 ({error.reason} at byte {error.start + 1} of the "
            "line). Convert the file to UTF-8, for example with iconv."
        ) from None
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise UserError(f"{path}: damaged gzip file after line {number} ({error}).") from None
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror}).") from None
    except ValueError as error:  # a NUL in the name
        raise UserError(f"{str(path)!r}: cannot be read ({error}).") from None


def _check_first_line(line: bytes, path: Path) -> None:
    """Raises UserError for UTF-16 (a mark, or NULs in every second byte) and for CR line ends."""
    fewer, more = sorted(half.count(0) for half in (line[::2], line[1::2]))
    alternates = len(line) >= _UTF_16_BYTES and fewer == 0 and 4 * more > len(line)
    if line.startswith(_UTF_16_MARKS) or alternates:
        raise UserError(
            f"{path}: is UTF-16. Convert the file to UTF-8: iconv -f UTF-16 -t UTF-8 FILE > NEW."
        )
    if not line.endswith(b"\n") and line.count(b"\r") > 1:
        raise UserError(
            f"{path}: its lines end with CR alone. Give them other ends: "
            "tr '\\r' '\\n' < FILE > NEW."
        )


def content_hash(path: Path) -> str:
    """Returns the SHA-256 of a file in hexadecimal; raises UserError if it cannot be read."""
    try:
        with path.open("rb") as stream:
            return hashlib.file_digest(stream, "sha256").hexdigest()
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror}).") from None
