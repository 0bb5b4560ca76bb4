"""Compiles `system_calls.c`, starts processes with it, and reads its log."""

import errno
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

SOURCE = Path(__file__).with_name("system_calls.c")

ERRORS = {"ENOSPC": errno.ENOSPC, "EIO": errno.EIO}

WRITES = frozenset({"write", "pwrite", "writev", "sendfile", "copy_file_range"})
SYNCS = frozenset({"fsync", "fdatasync"})
NEED_SPACE = frozenset(
    {
        *WRITES,
        *SYNCS,
        "open",
        "fopen",
        "mkdir",
        "rename",
        "link",
        "symlink",
        "truncate",
        "ftruncate",
    }
)
"""The calls that can fail with ENOSPC; all can with EIO."""


@dataclass(frozen=True)
class Call:
    """A call that changes the disk.

    Attributes:
        number: Counted from 1.
        name: The function, without its variants.
        path: What it changes.
        second: The new path of a rename or link; empty for others.
        offset: Of the bytes of a write in the file.
        size: Bytes to write.
        result: What it returned; the error as a negative number if it failed.
    """

    number: int
    name: str
    path: str
    second: str
    offset: int
    size: int
    result: int

    @classmethod
    def from_line(cls, line: str) -> "Call":
        """Parses a line of the log."""
        number, name, path, second, offset, size, result = line.rstrip("\n").split("\t")
        return cls(int(number), name, path, second, int(offset), int(size), int(result))

    def relative_to(self, folder: Path) -> str:
        """Describes the call by paths below a folder."""
        paths = [path.removeprefix(f"{folder}/") for path in (self.path, self.second) if path]
        return " ".join([self.name, *paths])


def read_log(path: Path) -> list[Call]:
    """Returns the calls of a log; none if there is no file."""
    if not path.exists():
        return []
    return [Call.from_line(line) for line in path.read_text(encoding="utf-8").splitlines()]


def compiler() -> str | None:
    """Returns the C compiler, if there is one; none but on Linux, for which the library is."""
    return shutil.which(os.environ.get("CC", "cc")) if sys.platform == "linux" else None


def compiled(folder: Path) -> Path:
    """Compiles the library into a folder and returns its path."""
    library = folder / "system_calls.so"
    command = [compiler() or "cc", "-shared", "-fPIC", "-O1", "-Wall", "-Wextra"]
    subprocess.run([*command, "-o", library, SOURCE, "-ldl", "-lpthread"], check=True)
    return library


def environment(
    library: Path, folder: Path, fault: str = "none", at: int = 0, log: str = "", reply: str = ""
) -> Mapping[str, str]:
    """Returns the variables of a process whose calls below a folder are counted from its start."""
    variables = {"FOLDER": str(folder), "AT": str(at), "LOG": log, "REPLY": reply}
    named = {f"SEQ2SEQ_FAULT_{name}": value for name, value in variables.items()}
    return {**os.environ, **named, "SEQ2SEQ_FAULT": fault, "LD_PRELOAD": str(library)}
