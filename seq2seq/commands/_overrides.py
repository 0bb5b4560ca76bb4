"""The overrides of commands that compose a config."""

import argparse


def overrides_argument(parser: argparse.ArgumentParser, command: str) -> None:
    """Adds the positional arguments: a recipe, and overrides of its config."""
    parser.allow_abbrev = False
    parser.usage = f"seq2seq {command} [RECIPE] [KEY=VALUE ...] [options]"
    parser.add_argument(
        "overrides",
        nargs="*",
        metavar="RECIPE, KEY=VALUE",
        help="a recipe, and changed values of its config: KEY=VALUE, GROUP=CHOICE, +NEW=VALUE, "
        "~REMOVED (default: none)",
    )


def with_recipe(overrides: list[str]) -> list[str]:
    """Returns overrides in which a first one without a key is the recipe.

    Example:
        >>> with_recipe(["translation/cldr_dates", "seed=2"])
        ['recipe=translation/cldr_dates', 'seed=2']
    """
    if not overrides or not overrides[0] or "=" in overrides[0] or overrides[0][0] in "~+":
        return overrides
    return [f"recipe={overrides[0]}", *overrides[1:]]
