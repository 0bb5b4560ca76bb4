"""Lines of text files, plain or gzip, with clear words for what may be wrong with them."""

import difflib
import gzip
import hashlib
import zlib
from collections.abc import Iterator
from pathlib import Path

from seq2seq.errors import UserError

_GZIP_MAGIC = b"\x1f\x8b"
_BYTE_ORDER_MARK = "\ufeff"


def find_file(directory: Path, name: str) -> Path:
    """Returns the path of a non-empty file, or of its `.gz` where only that one exists.

    Raises:
        UserError: If the folder or the file is missing, or the file is empty.
    """
    advice = "Set data.directory, or the variable SEQ2SEQ_DATA that its default is built on."
    if not directory.is_dir():
        raise UserError(f"There is no folder {directory.absolute()}. {advice}")
    for path in (directory / name, directory / f"{name}.gz"):
        if path.is_file():
            if path.stat().st_size == 0:
                raise UserError(f"{path} is empty.")
            return path
    similar = difflib.get_close_matches(name, sorted(path.name for path in directory.iterdir()))
    found = f" Did you mean {' or '.join(similar)}?" if similar else ""
    raise UserError(f"There is no file {name} in {directory.absolute()}.{found} {advice}")


def read_lines(path: Path) -> Iterator[str]:
    """Yields the lines of a UTF-8 file without their ends.

    Only LF and CRLF end a line: characters such as U+0085 or U+2028 are text. A byte order mark
    at the start of the file is dropped.

    Raises:
        UserError: If the file cannot be read, is not valid UTF-8 (naming the line), or is a
            damaged gzip file.
    """
    for number, line in enumerate(read_whole_lines(path), start=1):
        text = line.removeprefix(_BYTE_ORDER_MARK) if number == 1 else line
        yield text.removesuffix("\n").removesuffix("\r")


def read_whole_lines(path: Path) -> Iterator[str]:
    """Yields the lines of a UTF-8 file with their ends: together they are the whole file.

    Raises:
        UserError: As `read_lines`.
    """
    number = 0
    try:
        with path.open("rb") as raw:
            compressed = raw.peek(2).startswith(_GZIP_MAGIC)
            with gzip.GzipFile(fileobj=raw) if compressed else raw as stream:
                for number, line in enumerate(stream, start=1):  # noqa: B007
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


def content_hash(path: Path) -> str:
    """Returns the SHA-256 of a file's bytes, in hexadecimal.

    Raises:
        UserError: If the file cannot be read.
    """
    try:
        with path.open("rb") as stream:
            return hashlib.file_digest(stream, "sha256").hexdigest()
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror}).") from None
