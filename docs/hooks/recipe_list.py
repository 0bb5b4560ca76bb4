"""The list of recipes, from the comments at the beginning of their files."""

from pathlib import Path

from seq2seq.config import recipe_files


def recipe_list() -> str:
    """Returns a table with the name and the description of each recipe."""
    rows = [f"| `{name}` | {_description(path)} |" for name, path in recipe_files().items()]
    return "\n".join(["| recipe | what it learns |", "|---|---|", *rows])


def _description(path: Path) -> str:
    lines = path.read_text(encoding="utf-8").splitlines()
    comments = [line.removeprefix("#").strip() for line in lines if line.startswith("#")]
    return next((line for line in comments if not line.startswith("seq2seq ")), "")
