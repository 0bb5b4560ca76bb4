"""The overrides of the command line: parsed, checked, and completed from other runs."""

import functools
import itertools
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple, TypeVar

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import IntervalSweep, Override
from hydra.errors import HydraException
from omegaconf import DictConfig

from seq2seq.config import composed, recipe_names, register_recipe
from seq2seq.errors import UserError
from seq2seq.run_folder import SAVED, with_saved_recipe
from seq2seq.trust import Trust, check_config, plain_values
from seq2seq.yaml_files import load

T = TypeVar("T")

RESUME_MODES = ("auto", "never", "must")
"""A run in the folder of `hydra.run.dir` is resumed: if there is one, never, or else an error."""

Check = Callable[[DictConfig], object]
"""Raises UserError if a config names what is not trusted."""


def parse_overrides(overrides: list[str], check: Check | None = None) -> list[Override]:
    """Parses overrides, and composes a config with each of their values to find errors early."""
    parsed = list(map(_parse_override, overrides))
    choices = list(map(_single_values, parsed, overrides))
    firsts = [values[0] for values in choices]
    composed(firsts, check=check)
    for number, values in enumerate(choices):
        for value in values[1:]:
            composed([*firsts[:number], value, *firsts[number + 1 :]], check=check)
    return parsed


def _parse_override(text: str) -> Override:
    try:
        return OverridesParser.create().parse_override(text)
    except HydraException as error:
        raise UserError(" ".join(str(error).split())) from error


def trials_of(parsed: Sequence[Override], overrides: Sequence[str]) -> list[list[str]]:
    """Returns the overrides of each trial of a grid; the last key changes fastest.

    Raises:
        UserError: If the values are chosen while the sweep runs.
    """
    choices = []
    for override, text in zip(parsed, overrides, strict=True):
        is_search = override.key_or_group == "sweep" and override.value() not in (None, "grid")
        if is_search or isinstance(override.value(), IntervalSweep):
            raise UserError(
                f"{text}: the trials of a search get their values while it runs. To see a config, "
                "leave out --multirun and give each key one value"
            )
        choices.append(_single_values(override, text))
    return list(map(list, itertools.product(*choices)))


def refuse_empty_values(overrides: Sequence[str]) -> None:
    """Refuses empty keys and folders, for example from an unset shell variable."""
    for override in overrides:
        key, sign, value = override.partition("=")
        if not key.strip():
            raise UserError(f"{override!r}: must be key=value, such as seed=1")
        if sign and key in ("hydra.run.dir", "hydra.sweep.dir") and not value:
            raise UserError(f"{override}: names no folder")


def _single_values(override: Override, text: str) -> list[str]:
    """Returns an override with one value for each value of a sweep, or end of an interval."""
    if not override.is_sweep_override():
        return [text]
    value, key = override.value(), override.get_key_element()
    if isinstance(value, IntervalSweep):
        return [f"{key}={value.start}", f"{key}={value.end}"]
    return [f"{key}={choice}" for choice in override.sweep_string_iterator()]


def with_initial_run(overrides: list[str], trust: Trust) -> list[str]:
    """Puts the overrides of the run of `init_from=RUN` first, if no recipe is named.

    Those of keys that are given anew are left out; with `data=tsv` also all below `data`.

    Raises:
        UserError: If there is no such run, or its overrides name code that is not trusted.
    """
    values = {o.key_or_group: o.value() for o in map(_parse_override, overrides)}
    if values.get("init_from") is None or "recipe" in values:
        return overrides
    folder = Path(str(values["init_from"])).expanduser()
    path = folder / SAVED / "hydra.yaml"
    if not path.is_file():
        raise UserError(
            f"init_from={values['init_from']}: is not a run folder, it has no {SAVED}/{path.name}. "
            "For a folder with a model only, name its recipe, too"
        )
    items = map(str, saved_hydra(path, "overrides", "task", list))
    saved = [with_saved_recipe(item, folder) for item in items]
    given = ("hydra", "init_from", *(str(key).replace("/", ".") for key in values))
    saved = [
        item
        for item in saved
        if not f"{item.lstrip('+~').partition('=')[0].replace('/', '.')}.".startswith(
            tuple(f"{key}." for key in given)
        )
    ]
    parse_overrides(
        list(map(with_registered_recipes, saved)),
        functools.partial(check_config, place=str(path), trust=trust),
    )
    return [*saved, *overrides]


def with_registered_recipes(override: str) -> str:
    """Registers the recipes of a `recipe=` override, and returns it with Hydra's choices."""
    key, _, value = override.partition("=")
    if key != "recipe":
        return override
    return "recipe=" + ",".join(map(register_recipe, recipe_names(value)))


class Resume(NamedTuple):
    """What the command line says of resuming."""

    folder: Path | None = None
    """The run or sweep of `resume=RUN`."""
    mode: str = "auto"
    """Whether a run in the folder that `hydra.run.dir` names is resumed, see `RESUME_MODES`."""
    changes: frozenset[str] = frozenset()
    """The config keys, `resume_changes=[...]`, that may differ from those of that run."""


def split_resume(overrides: Sequence[str]) -> tuple[Resume, list[str]]:
    """Splits `resume=` and `resume_changes=` from the other overrides.

    Raises:
        UserError: If one of them has an impossible value.
    """
    resume, others = Resume(), []
    for item in overrides:
        key, _, value = item.partition("=")
        if key == "resume" and not value:
            raise UserError("resume=: names no folder")
        if key == "resume" and value in RESUME_MODES:
            resume = resume._replace(folder=None, mode=value)
        elif key == "resume":
            resume = resume._replace(folder=Path(value))
        elif key == "resume_changes":
            keys = _parse_override(item).value()
            if not isinstance(keys, list):
                raise UserError(
                    f"{item}: must be a list, such as resume_changes=[trainer.patience]"
                )
            resume = resume._replace(changes=frozenset(map(str, keys)))
        else:
            others.append(item)
    return resume, others


def saved_hydra(path: Path, section: str, key: str, kind: type[T]) -> T:
    """Returns a value of a run's `hydra.yaml`; raises UserError if the file is damaged."""
    value: object = plain_values(load(path))
    for name in ("hydra", section, key):
        value = value.get(name) if isinstance(value, Mapping) else None
    if not isinstance(value, kind):
        raise UserError(f"{path}: is damaged, it has no hydra.{section}.{key}; copy it again")
    return value
