"""Writes files and folders atomically: to a temporary place, synced to the disk, then renamed."""

import atexit
import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

UNFINISHED = ".unfinished-"
"""Prefix of the names of temporary folders that are being written."""
CHECKSUMS = "checksums.json"


@contextmanager
def atomic_file(path: Path) -> Iterator[Path]:
    """Yields a temporary path of the same name, whose file replaces `path` if the block succeeds.

    Several processes may write the same `path`.

    Raises:
        OSError: If it cannot be written.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    folder = Path(tempfile.mkdtemp(prefix=UNFINISHED, dir=path.parent))
    try:
        yield folder / path.name
        sync(folder / path.name)
        os.replace(folder / path.name, path)
        sync(path.parent)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def write_text(path: Path, text: str) -> None:
    """Writes a text file atomically, in UTF-8; raises OSError if it cannot be written."""
    with atomic_file(path) as temporary:
        temporary.write_text(text, encoding="utf-8", newline="\n")


@contextmanager
def atomic_folder(target: Path, replace: bool = False) -> Iterator[Path]:
    """Yields an empty folder, which becomes `target`, with checksums, if the block succeeds.

    Raises:
        OSError: If it cannot be written, or `target` exists and `replace` is false.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    temporary = Path(tempfile.mkdtemp(prefix=UNFINISHED, dir=target.parent))
    new = temporary / target.name
    new.mkdir()
    try:
        yield new
        write_checksums(new)
        previous = temporary / "previous"
        if replace and target.exists():
            target.rename(previous)
        try:
            new.rename(target)
        except OSError:
            if previous.exists():
                previous.rename(target)
            raise
        sync(target.parent)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def temporary_folder(prefix: str) -> Path:
    """Creates a folder that is removed when the process ends."""
    folder = Path(tempfile.mkdtemp(prefix=prefix))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return folder


def write_checksums(folder: Path) -> None:
    """Writes the size and SHA-256 of each file of a folder, and syncs all of them to the disk."""
    sums = {name: _checksum(folder / name) for name in _names(folder)}
    (folder / CHECKSUMS).write_text(json.dumps(sums, indent=1), encoding="utf-8")
    for path in (folder, *folder.rglob("*")):
        sync(path)


def damaged_files(folder: Path) -> list[str]:
    """Returns the files of a folder that are missing or changed since `write_checksums`.

    Files added later are ignored. If the checksums cannot be read, it returns the file of these.
    """
    try:
        sums = json.loads((folder / CHECKSUMS).read_text(encoding="utf-8"))
        expected = {str(name): (int(size), str(digest)) for name, (size, digest) in sums.items()}
    except (OSError, ValueError, TypeError, AttributeError, RecursionError):
        return [CHECKSUMS]
    present = set(_names(folder))
    return [
        name
        for name, checksum in expected.items()
        if name not in present or _checksum(folder / name) != checksum
    ]


def remove_unfinished(folder: Path) -> None:
    """Removes the temporary folders of killed processes; no other process may write meanwhile."""
    for path in folder.glob(f"{UNFINISHED}*"):
        shutil.rmtree(path, ignore_errors=True)


def _names(folder: Path) -> list[str]:
    """Returns the paths of the files below a folder, relative to it."""
    paths = (p for p in folder.rglob("*") if p.is_file() and not p.is_symlink())
    return sorted(p.relative_to(folder).as_posix() for p in paths if p.name != CHECKSUMS)


def _checksum(path: Path) -> tuple[int, str]:
    with path.open("rb") as file:
        return path.stat().st_size, hashlib.file_digest(file, "sha256").hexdigest()


def sync(path: Path) -> None:
    """Waits until a file or folder is on the disk."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
