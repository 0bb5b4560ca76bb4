"""Files and folders that are written whole: aside, synced to the disk, then renamed."""

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
"""The beginning of the names of files and folders that are being written."""
CHECKSUMS = "checksums.json"


@contextmanager
def whole_file(path: Path) -> Iterator[Path]:
    """Gives the path of a file to write, which then becomes `path`; on failure nothing is left.

    The file given has the ending of `path`. Several processes may write the same `path`.

    Raises:
        OSError: If it cannot be written.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    folder = Path(tempfile.mkdtemp(prefix=UNFINISHED, dir=path.parent))
    try:
        yield folder / path.name
        _sync(folder / path.name)
        os.replace(folder / path.name, path)
        _sync(path.parent)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def write_text(path: Path, text: str) -> None:
    """Writes a text file in UTF-8, whole.

    Raises:
        OSError: If it cannot be written.
    """
    with whole_file(path) as aside:
        aside.write_text(text, encoding="utf-8", newline="\n")


@contextmanager
def whole_folder(target: Path, replace: bool = False) -> Iterator[Path]:
    """Gives an empty folder to fill, which then becomes `target`; on failure nothing is left.

    The folder gets a file of checksums, which `damaged_files` verifies.

    Args:
        target: The folder.
        replace: Whether a `target` that is there already is replaced.

    Raises:
        OSError: If it cannot be written, or `target` is there already and not to be replaced.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    aside = Path(tempfile.mkdtemp(prefix=UNFINISHED, dir=target.parent))
    filled, previous = aside / target.name, aside / "previous"
    filled.mkdir()
    try:
        yield filled
        write_checksums(filled)
        if replace and target.exists():
            target.rename(previous)
        filled.rename(target)
        _sync(target.parent)
    finally:
        shutil.rmtree(aside, ignore_errors=True)


def temporary_folder(prefix: str) -> Path:
    """Makes a folder that is removed when the process ends."""
    folder = Path(tempfile.mkdtemp(prefix=prefix))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return folder


def write_checksums(folder: Path) -> None:
    """Writes the length and SHA-256 of each file of a folder, and syncs them all to the disk."""
    sums = {name: _checksum(folder / name) for name in _names(folder)}
    (folder / CHECKSUMS).write_text(json.dumps(sums, indent=1), encoding="utf-8")
    for path in (folder, *folder.rglob("*")):
        _sync(path)


def damaged_files(folder: Path) -> list[str]:
    """Returns which files of a folder are missing or not as `write_checksums` saw them.

    Files that were added since are ignored. Without readable checksums, their file is the damaged
    one.
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
    """Removes what writers that were killed have left in a folder; none may be at work in it."""
    for path in folder.glob(f"{UNFINISHED}*"):
        shutil.rmtree(path, ignore_errors=True)


def _names(folder: Path) -> list[str]:
    """Returns the paths of the files below a folder, relative to it."""
    paths = (p for p in folder.rglob("*") if p.is_file() and not p.is_symlink())
    return sorted(p.relative_to(folder).as_posix() for p in paths if p.name != CHECKSUMS)


def _checksum(path: Path) -> tuple[int, str]:
    with path.open("rb") as file:
        return path.stat().st_size, hashlib.file_digest(file, "sha256").hexdigest()


def _sync(path: Path) -> None:
    """Has the system write a file or folder to the disk before it goes on."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
