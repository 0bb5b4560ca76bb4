"""Folders that are computed once and kept: where they lie, and how they come into being."""

import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from seq2seq.errors import UserError


def cache_directory() -> Path:
    """Returns `$XDG_CACHE_HOME/seq2seq`, by default `~/.cache/seq2seq`."""
    root = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(root) / "seq2seq"


def ensure_directory(target: Path, write: Callable[[Path], object]) -> Path:
    """Returns `target`, written first where it does not exist yet.

    The content is written aside and renamed when complete, so an interrupted run leaves nothing
    half-written, and of two processes that write at once the first one wins.

    Args:
        target: The folder to return.
        write: Fills the empty folder that it is given.

    Raises:
        UserError: If the folder cannot be written.
    """
    if target.is_dir():
        return target
    try:
        with whole_folder(target) as aside:
            write(aside)
    except OSError as error:
        if not target.is_dir():
            raise UserError(
                f"The folder {target} cannot be written ({error.strerror or error}). Make room or "
                "give access, or set the variable XDG_CACHE_HOME to another place for caches."
            ) from error
    return target


@contextmanager
def whole_folder(target: Path) -> Iterator[Path]:
    """Gives an empty folder to fill, which then becomes `target`; if that fails, nothing is left.

    Raises:
        OSError: If it cannot be written, or `target` is there already and not empty.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    aside = Path(tempfile.mkdtemp(prefix=f".{target.name}-", dir=target.parent))
    try:
        yield aside
        aside.chmod(0o755)
        aside.rename(target)
    finally:
        shutil.rmtree(aside, ignore_errors=True)
