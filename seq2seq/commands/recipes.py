"""`seq2seq recipes`: lists the recipes."""

import argparse

EXAMPLES = """\
  seq2seq recipes
"""


def configure(parser: argparse.ArgumentParser) -> None:
    """Adds no arguments."""


def run(options: argparse.Namespace) -> int:
    """Prints the name of each recipe, and the description in its comments."""
    from seq2seq.config import recipe_files
    from seq2seq.terminal import standard_output

    files, stream = recipe_files(), standard_output()
    width = max(map(len, files), default=0)
    for name, path in files.items():
        comments = [
            line.removeprefix("#").strip()
            for line in path.read_text(encoding="utf-8").splitlines()
            if line.startswith("#")
        ]
        description = next((line for line in comments if not line.startswith("seq2seq ")), "")
        print(f"{name:<{width}}  {description}", file=stream)
    return 0
