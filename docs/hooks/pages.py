"""The hook of mkdocs: puts generated parts into pages, and measured pictures beside them."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from command_reference import command_reference
from config_reference import config_reference
from data_set_list import data_set_list
from mkdocs.structure.files import File, Files
from notebook_page import notebook_page
from recipe_list import recipe_list

ROOT = Path(__file__).parents[2]
MEASURED = "benchmarks/results"
"""The folder of measured pictures, which pages name relative to `docs/`."""

GENERATED: dict[str, Callable[[], str]] = {
    "<!-- generated: commands -->": command_reference,
    "<!-- generated: config -->": config_reference,
    "<!-- generated: data sets -->": data_set_list,
    "<!-- generated: recipes -->": recipe_list,
    "<!-- generated: notebook -->": notebook_page,
}
"""Functions that return Markdown, by the marks that they replace."""


def on_files(files: Files, config: Any) -> Files:
    """Adds the pictures of the benchmarks to the files of the site."""
    for path in sorted((ROOT / MEASURED).glob("*.png")):
        name = f"{MEASURED}/{path.name}"
        files.append(File.generated(config, name, abs_src_path=str(path)))
    return files


def on_page_markdown(markdown: str, **_: Any) -> str:
    """Replaces marks by generated text, and links to the pictures of the benchmarks."""
    for mark, generate in GENERATED.items():
        if mark in markdown:
            markdown = markdown.replace(mark, generate())
    return markdown.replace(f"](../{MEASURED}/", f"]({MEASURED}/")
