"""`seq2seq recipes`: what can be trained."""

import argparse


def configure(parser: argparse.ArgumentParser) -> None:
    """Takes no arguments."""


def run(options: argparse.Namespace) -> int:
    """Prints each recipe's name and its comment's description."""
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
