"""The overrides of commands that compose a config."""

import argparse
from typing import TYPE_CHECKING

from seq2seq.errors import UserError

if TYPE_CHECKING:
    from omegaconf import DictConfig


def overrides_argument(parser: argparse.ArgumentParser, command: str) -> None:
    """Adds the positional arguments: a recipe, and overrides of its config."""
    parser.allow_abbrev = False
    parser.usage = f"seq2seq {command} [RECIPE] [KEY=VALUE ...] [options]"
    argument = parser.add_argument(
        "overrides",
        nargs="*",
        metavar="RECIPE, KEY=VALUE",
        help="a recipe, and changed values of its config: KEY=VALUE, GROUP=CHOICE, +NEW=VALUE, "
        "~REMOVED (default: none)",
    )
    argument.completer = complete_override  # type: ignore[attr-defined]  # read by argcomplete


def complete_override(prefix: str, parsed_args: argparse.Namespace, **_: object) -> list[str]:
    """Returns recipes, config keys and choices of groups that begin with a prefix.

    Args:
        prefix: What has been typed of the argument.
        parsed_args: The arguments before it.

    Example:
        >>> complete_override("decoding=", argparse.Namespace(overrides=["a/b"]))
        ['decoding=beam', 'decoding=greedy', 'decoding=none', 'decoding=sampling']
    """
    from argcomplete.completers import FilesCompleter

    from seq2seq.config import config_groups, folder, recipe_files, top_level_keys

    key, sign, value = prefix.partition("=")
    if not sign:
        keys = {*config_groups(), *top_level_keys(), "recipe", "resume", "resume_changes"}
        recipes = [] if getattr(parsed_args, "overrides", None) else list(recipe_files())
        known = [*recipes, *(f"{key}=" for key in sorted(keys) if not key.startswith("hydra"))]
        return [name for name in known if name.startswith(prefix)]
    choices = [path.stem for path in sorted((folder("conf") / key).glob("*.yaml"))]
    choices = list(recipe_files()) if key == "recipe" else choices
    return [f"{key}={choice}" for choice in choices or FilesCompleter()(value)]


def with_recipe(overrides: list[str]) -> list[str]:
    """Returns overrides in which a first one without a key is the recipe.

    Example:
        >>> with_recipe(["translation/cldr_dates", "seed=2"])
        ['recipe=translation/cldr_dates', 'seed=2']
    """
    if not overrides or not overrides[0] or "=" in overrides[0] or overrides[0][0] in "~+":
        return overrides
    return [f"recipe={overrides[0]}", *overrides[1:]]


def check_recipe_is_named(overrides: list[str], command: str) -> None:
    """Raises a `UserError` if there are no overrides, which name the recipe."""
    if not overrides:
        raise UserError(
            f"{command}: names no recipe; for example `seq2seq {command} translation/cldr_dates`"
        )


def config_of(overrides: list[str], *further: str) -> "DictConfig":
    """Composes the config of a recipe and overrides, and further overrides."""
    from seq2seq.config import composed
    from seq2seq.overrides import with_initial_run, with_registered_recipes

    completed = [*with_initial_run(with_recipe(overrides), ()), *further]
    return composed(list(map(with_registered_recipes, completed)))
