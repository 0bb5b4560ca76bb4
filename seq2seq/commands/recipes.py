"""`seq2seq recipes`: lists the recipes."""

import argparse
import re
import sys
from pathlib import Path

NEEDS = {"embedded": "embedded", "network": "network"}
"""What a recipe's data need, by a word of its description; else `files`."""

EXAMPLES = """\
  seq2seq recipes
"""


def configure(parser: argparse.ArgumentParser) -> None:
    """Adds the arguments."""
    parser.add_argument("--wide", action="store_true", help="descriptions that are not cut")


def run(options: argparse.Namespace) -> int:
    """Prints the name of each recipe, what its data need, and the description in its comments."""
    from seq2seq.config import recipe_files
    from seq2seq.terminal import PlainConsole, fitted_table

    is_cut = sys.stdout.isatty() and not options.wide
    console = PlainConsole(width=None if is_cut else 200)
    rows = []
    for name, path in recipe_files().items():
        description = _description(path)
        needs = next((NEEDS[word] for word in NEEDS if word in description), "files")
        short = re.sub(r" \([^)]*\)$", "", description)
        rows.append([name, needs, short if is_cut else description])
    titles = ("recipe", "data", "description")
    console.print(fitted_table(titles, rows, "description", console.width))
    return 0


def _description(path: Path) -> str:
    """Returns the first comment of a recipe that is not its command."""
    comments = (
        line.removeprefix("#").strip()
        for line in path.read_text(encoding="utf-8").splitlines()
        if line.startswith("#")
    )
    return next((line for line in comments if not line.startswith("seq2seq ")), "")
