"""Folders of code that only this user or root can have written."""

import logging
import os
import shutil
import stat
from pathlib import Path

from seq2seq.errors import UserError

log = logging.getLogger(__name__)

WRITABLE_BY_OTHERS = stat.S_IWGRP | stat.S_IWOTH


def make_private(folder: Path) -> None:
    """Makes a folder that others cannot write to, or checks that it is one.

    Raises:
        UserError: If it belongs to somebody else than this user or root, or cannot be made.
    """
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        status = folder.stat()
        if status.st_uid == os.getuid() and status.st_mode & WRITABLE_BY_OTHERS:
            folder.chmod(0o700)
            status = folder.stat()
    except OSError as error:
        raise UserError(
            f"The folder {folder} cannot be used ({error.strerror or error})."
        ) from error
    if not _is_trusted(status):
        raise UserError(
            f"The folder {folder} belongs to, or can be written by, other users than this one and "
            "root, and code is loaded from it. Set the variable SEQ2SEQ_KERNELS to a folder of "
            "your own."
        )


def remove_foreign(folder: Path) -> None:
    """Removes a folder of compiled code that others may have written to, with a warning.

    Raises:
        UserError: If it cannot be removed.
    """
    if not os.path.lexists(folder):
        return
    if all(_is_trusted(entry.lstat()) for entry in (folder, *folder.glob("*.so"))):
        return
    log.warning("%s may have been written by other users and is made anew", folder)
    try:
        folder.unlink() if not folder.is_dir() or folder.is_symlink() else shutil.rmtree(folder)
    except OSError as error:
        raise UserError(
            f"{folder} may have been written by other users and cannot be removed "
            f"({error.strerror or error})."
        ) from error


def _is_trusted(status: os.stat_result) -> bool:
    """Returns whether only this user or root can write a file or folder, which is no link."""
    return (
        status.st_uid in (os.getuid(), 0)
        and not status.st_mode & WRITABLE_BY_OTHERS
        and not stat.S_ISLNK(status.st_mode)
    )
