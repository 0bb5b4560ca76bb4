"""The command that trains on a folder of synthetic data, with the settings of a run."""

import functools
import re
import shlex
from collections.abc import Iterable
from pathlib import Path

from hydra.core.override_parser.types import Quote, QuotedString

from seq2seq.config import composed, recipe_files
from seq2seq.errors import UserError
from seq2seq.overrides import with_registered_recipes
from seq2seq.run_folder import saved_overrides
from seq2seq.trust import Trust, check_config

OWN_DATA = "translation/own_data"
_OF_THE_RUN = ("data", "hydra", "init_from", "initial_encoder", "resume", "resume_changes")
"""Config keys of a run that another run on other data does not have."""
_PLAIN = re.compile(r"[A-Za-z0-9_./-]+")


def train_command(
    run_folder: Path, data: Path, several_references: bool = False, trust: Trust = ()
) -> str:
    """Returns the command line of a training with the settings of a run on other data.

    Args:
        run_folder: The run; the settings are those of `translation/own_data` if it does not have
            the overrides that it was started with, or they cannot be used any more.
        data: The folder with `train.jsonl`, `validation.jsonl` and `test.jsonl`.
        several_references: Whether an input of the data may have several targets.
        trust: Further modules and classes that the run's config may name.
    """
    own = [item for item in saved_overrides(run_folder) if _key(item) not in _OF_THE_RUN]
    overrides = [*own, *data_overrides(data, several_references)]
    check = functools.partial(check_config, place=str(run_folder), trust=trust)
    try:
        composed(list(map(with_registered_recipes, overrides)), check=check)
    except UserError:
        own = []
    if not own:
        overrides = [f"recipe={OWN_DATA}", *data_overrides(data, several_references)]
    return shlex.join(["seq2seq", "train", *_recipe_first(overrides)])


def data_overrides(data: Path, several_references: bool) -> list[str]:
    """Returns the overrides that choose a folder of synthetic data."""
    path = str(data.absolute())
    if not _PLAIN.fullmatch(path):
        path = QuotedString(path, Quote.single).with_quotes()
    return [
        "data=jsonl",
        f"data.directory={path}",
        *(f"data.files.{split}={split}.jsonl" for split in ("train", "validation", "test")),
        "data.holdout=null",
        *["data.further_targets=evaluate"] * several_references,
    ]


def _key(override: str) -> str:
    """Returns the first part of an override's key, such as `data` of `+data.files.test=a.txt`."""
    return re.split(r"[./@]", override.lstrip("+~").partition("=")[0])[0]


def _recipe_first(overrides: Iterable[str]) -> list[str]:
    """Returns overrides with the recipe in front, without its key if it is one of the package."""
    known = recipe_files()
    recipes = [item for item in overrides if _key(item) == "recipe"]
    others = [item for item in overrides if _key(item) != "recipe"]
    names = [item.removeprefix("recipe=") for item in recipes]
    return [name if name in known else f"recipe={name}" for name in names] + others
