"""The cache of computed folders, such as compiled kernels and tokenised data."""

import logging
import os
from collections.abc import Callable
from pathlib import Path

from seq2seq.errors import UserError
from seq2seq.files import atomic_folder, damaged_files

log = logging.getLogger(__name__)


def cache_directory() -> Path:
    """Returns `$XDG_CACHE_HOME/seq2seq`, by default `~/.cache/seq2seq`."""
    root = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(root) / "seq2seq"


def ensure_directory(target: Path, write: Callable[[Path], object]) -> Path:
    """Returns `target`; writes it atomically if it does not exist, or if a checksum is wrong.

    If two processes write it at once, the folder of the first is used.

    Args:
        target: The folder.
        write: Fills an empty folder.

    Raises:
        UserError: If the folder cannot be written.
    """
    damaged = damaged_files(target) if target.is_dir() else []
    if target.is_dir() and not damaged:
        log.debug("using %s", target)
        return target
    log.debug("writing %s", target)
    if damaged:
        log.warning("%s is damaged (%s) and is written again", target, ", ".join(damaged))
    try:
        with atomic_folder(target, replace=bool(damaged)) as temporary:
            write(temporary)
    except OSError as error:
        if damaged or not target.is_dir():
            raise UserError(
                f"The folder {target} cannot be written ({error.strerror or error}). Make room or "
                "give access, or set the variable XDG_CACHE_HOME to another folder."
            ) from error
    return target
