"""Locks run folders, so that one process at a time writes each, and writes their configs."""

import fcntl
import os
import platform
import re
import shlex
import shutil
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from datetime import datetime
from itertools import count
from pathlib import Path
from typing import Literal, TextIO

from omegaconf import DictConfig, OmegaConf

from seq2seq.errors import UserError
from seq2seq.files import remove_unfinished, write_text
from seq2seq.yaml_files import checked_yaml, load_list

LOCK = ".lock"
SAVED = ".hydra"
"""The folder of the config in a run folder."""

RECIPE = "recipe"
"""The folder, below it, of a recipe of the user."""


CheckpointKind = Literal["last", "best"]

_CHECKPOINT_NAME = re.compile(r"(last|best)_(\d+)\.weights\.h5")


def checkpoint_path(folder: Path, kind: CheckpointKind, step: int) -> Path:
    """Returns the path of the checkpoint of a step in a folder of checkpoints."""
    return folder / f"{kind}_{step}.weights.h5"


def checkpoint_paths(folder: Path, kind: CheckpointKind) -> list[Path]:
    """Returns the checkpoints of one kind in a folder of checkpoints, the newest first."""
    matches = (_CHECKPOINT_NAME.fullmatch(path.name) for path in folder.glob(f"{kind}_*"))
    steps = sorted((int(match[2]) for match in matches if match), reverse=True)
    return [checkpoint_path(folder, kind, step) for step in steps]


class OccupiedError(UserError):
    """Another run or process uses the folder."""


@contextmanager
def claimed(folder: Path, option: str = "hydra.run.dir") -> Iterator[None]:
    """Locks a folder until the block ends or the process dies, and removes unfinished files.

    Args:
        folder: The folder of a run, or of other files that one command writes.
        option: What names the folder, for messages.

    Raises:
        OccupiedError: If another process has locked it.
        UserError: If it cannot be written.
    """
    with _locked(folder, option):
        for path in (folder, *(child for child in folder.iterdir() if child.is_dir())):
            remove_unfinished(path)
        yield


@contextmanager
def claimed_new(folder: Path, is_named: bool) -> Iterator[Path]:
    """Locks the folder of a new run, and yields it.

    Args:
        folder: The folder.
        is_named: Whether the user has chosen the name. If not, and another run uses the folder (it
            may have started in the same second), a number is appended to the name.

    Raises:
        OccupiedError: If the named folder holds a run, or another process has locked it.
        UserError: If it cannot be written.
    """
    with ExitStack() as stack:
        for number in count(1):
            free = folder if number == 1 else folder.with_name(f"{folder.name}_{number}")
            try:
                stack.enter_context(claimed(free))
                refuse_used(free)
                break
            except OccupiedError:
                stack.close()
                if is_named:
                    raise
        yield free


def refuse_used(folder: Path) -> None:
    """Raises OccupiedError if a folder holds a run with a checkpoint or results."""
    if (folder / "checkpoints").exists() or (folder / "metrics.json").exists():
        raise OccupiedError(
            f"hydra.run.dir={folder}: holds a run already. Choose another folder, or resume that "
            f"run with resume={shlex.quote(str(folder))}"
        )


def write_config(
    folder: Path, config: DictConfig, hydra: DictConfig, recipe: Mapping[str, str]
) -> None:
    """Writes the config of a run, Hydra's own config and the overrides into the run folder.

    `recipe` is a recipe of the user by the name of its file; empty for one of the package.
    """
    overrides = list(hydra.overrides.task)
    texts = {f"{RECIPE}/{name}": text for name, text in recipe.items()} | {
        "overrides.yaml": checked_yaml(OmegaConf.create(overrides)),
        "hydra.yaml": checked_yaml(OmegaConf.create({"hydra": hydra})),
        "config.yaml": checked_yaml(config),  # last: if it exists, the others do
    }
    try:
        for name, text in texts.items():
            write_text(folder / SAVED / name, text)
    except OSError as error:
        raise _unwritable(folder, error) from error


def saved_overrides(folder: Path) -> list[str]:
    """Returns the overrides that a run was started with; none if it was not by `write_config`."""
    path = folder / SAVED / "overrides.yaml"
    items = load_list(path) if path.is_file() else []
    return [with_saved_recipe(item, folder) for item in items]


def with_saved_recipe(override: str, folder: Path) -> str:
    """Returns an override; `recipe=` of a recipe of the user names the copy in the run folder."""
    copies = sorted((folder / SAVED / RECIPE).glob("*.yaml"))
    return f"recipe={copies[0]}" if copies and override.startswith("recipe=") else override


def remove_if_empty(folder: Path) -> None:
    """Removes the folder of a run that ended before it wrote any result."""
    if folder.is_dir() and {path.name for path in folder.iterdir()} <= {SAVED, "train.log", LOCK}:
        shutil.rmtree(folder)


@contextmanager
def _locked(folder: Path, option: str) -> Iterator[None]:
    while True:
        try:
            folder.mkdir(parents=True, exist_ok=True)
            lock = (folder / LOCK).open("a+", encoding="utf-8", errors="replace")
        except OSError as error:
            raise _unwritable(folder, error, option) from error
        with lock:
            _lock(lock, folder, option)
            if _is_at(lock, folder / LOCK):  # otherwise, the folder was removed meanwhile
                yield
                return


def _lock(file: TextIO, folder: Path, option: str) -> None:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        file.seek(0)
        holder = file.read(200).strip()
        raise OccupiedError(
            f"{folder}: another process is at work on this folder{holder and f' ({holder})'}. Wait "
            f"until it ends, or choose another {option}"
        ) from None
    except OSError:
        return  # a file system without locks
    with suppress(OSError):  # a full disk
        file.truncate(0)
        since = datetime.now().astimezone().isoformat(" ", "seconds")
        file.write(f"process {os.getpid()} on {platform.node()}, since {since}\n")
        file.flush()


def _is_at(file: TextIO, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(file.fileno()), path.stat())
    except OSError:
        return False


def _unwritable(folder: Path, error: OSError, option: str = "hydra.run.dir") -> UserError:
    reason = error.strerror or str(error)
    return UserError(
        f"{folder}: cannot be written ({reason}). Make room or give access, or choose another "
        f"{option}"
    )
