"""Folders that are computed once and kept: where they lie, and how they come into being."""

import logging
import os
from collections.abc import Callable
from pathlib import Path

from seq2seq.errors import UserError
from seq2seq.files import damaged_files, whole_folder

log = logging.getLogger(__name__)


def cache_directory() -> Path:
    """Returns `$XDG_CACHE_HOME/seq2seq`, by default `~/.cache/seq2seq`."""
    root = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(root) / "seq2seq"


def ensure_directory(target: Path, write: Callable[[Path], object]) -> Path:
    """Returns `target`, written first where it does not exist yet or is damaged.

    The content is written aside and renamed when complete, so an interrupted run leaves nothing
    half-written, and of two processes that write at once the first one wins. Its files are
    compared with their checksums each time.

    Args:
        target: The folder to return.
        write: Fills the empty folder that it is given.

    Raises:
        UserError: If the folder cannot be written.
    """
    damaged = damaged_files(target) if target.is_dir() else []
    if target.is_dir() and not damaged:
        return target
    if damaged:
        log.warning("%s is damaged (%s) and made anew", target, ", ".join(damaged))
    try:
        with whole_folder(target, replace=bool(damaged)) as aside:
            write(aside)
    except OSError as error:
        if damaged or not target.is_dir():
            raise UserError(
                f"The folder {target} cannot be written ({error.strerror or error}). Make room or "
                "give access, or set the variable XDG_CACHE_HOME to another place for caches."
            ) from error
    return target
