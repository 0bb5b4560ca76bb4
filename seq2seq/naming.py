"""Names runs after their recipe, or after the user's own data."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from seq2seq.config import recipe_files, recipe_name

READERS = (
    "conll",
    "conllu",
    "jsonl",
    "label_folders",
    "label_lines",
    "labelled_csv",
    "labelled_jsonl",
    "labelled_tfds",
    "labelled_tsv",
    "own_labelled",
    "own_pairs",
    "own_series",
    "own_tagged",
    "own_texts",
    "own_words",
    "parallel_text",
    "plain_text",
    "series",
    "tagged_jsonl",
    "tagged_tfds",
    "tfds",
    "tsv",
)
"""The choices of `data` that read the user's own data."""

ONE_FILE = ("own_series", "series")
"""Those of them whose `files` may be the name of one file, which has all splits."""

OWN_DATA = "own_data"
"""The recipe of each task for the user's own data."""

_UNSAFE = re.compile(r"[^\w.+@-]+")
"""Characters that are replaced in folder names."""


def filed_under(recipe: str | None, data: str | None, root: DictConfig) -> str:
    """Returns the name of a run's experiment and folder, from Hydra's choices and the config.

    It is the recipe's name, or `<task>/<name of the data>` for the user's own data.
    """
    if recipe in recipe_files() and data in READERS:
        return f"{str(recipe).partition('/')[0]}/{data_name(str(data), root)}"
    parts = recipe_name(str(recipe)).split("/")
    return "/".join(_UNSAFE.sub("_", part).strip(".") or "recipe" for part in parts)


def data_name(choice: str, root: DictConfig) -> str:
    """Returns the name of the data; for the user's own data, the name of their folder.

    Where one file has all splits, as of series, it is folder and file: `shop_sales`.
    """
    if choice not in READERS:
        return choice
    name = OmegaConf.select(root, "data.name", default=None)
    directory = OmegaConf.select(root, "data.directory", default=None)
    file = OmegaConf.select(root, "data.files", default=None) if choice in ONE_FILE else None
    place = Path(str(directory or choice)).expanduser().absolute()
    own = place.name
    if name:
        own = str(name)
    elif isinstance(file, str):
        path = place / Path(file).expanduser()
        own = f"{path.parent.name}_{path.name.partition('.')[0]}"
    return _UNSAFE.sub("_", own).strip(".") or choice


def tags_of(choices: Mapping[str, str | None], config: DictConfig) -> dict[str, str]:
    """Returns the tags of a tracked run, from Hydra's choices of config groups."""
    tags = {name: str(choices[name]) for name in ("recipe", "task", "data") if choices.get(name)}
    if "recipe" in tags:
        tags["recipe"] = filed_under(choices["recipe"], choices.get("data"), config)
    if "data" in tags:
        tags["data"] = data_name(tags["data"], config)
    return tags


def run_name(tags: Mapping[str, str], config: Mapping[str, Any]) -> str:
    """Returns the name of a tracked run, such as `cldr_dates lstm-128`; empty without a recipe.

    It is the last part of the recipe, the cell and the units of the encoder or language model, and
    for a sweep that it is one or a trial of one.

    Args:
        tags: The run's tags, see `tags_of`.
        config: The whole config.
    """
    if "recipe" not in tags:
        return ""
    parts = [tags["recipe"].rpartition("/")[2]]
    model = config.get("model") or {}
    for _, part in sorted(model.items(), key=lambda item: item[0] != "encoder"):
        if isinstance(part, Mapping) and {"cell", "units"} <= part.keys():
            units, layers = part["units"], part.get("layers") or 1
            several = isinstance(units, list)
            size = "-".join(map(str, units)) if several else f"{layers}x{units}".removeprefix("1x")
            parts.append(f"{part['cell']}-{size}")
            break
    if "trial" in tags:
        parts.append(f"trial {tags['trial']}")
    elif "sweep" in tags:
        parts.append("sweep")
    return " ".join(parts)


def advice(choices: Mapping[str, str | None]) -> str:
    """Returns a hint if a recipe for other data is used on the user's own, else an empty string."""
    recipe, data = choices.get("recipe"), choices.get("data")
    own = f"{str(recipe).partition('/')[0]}/{OWN_DATA}"
    if recipe not in recipe_files() or recipe == own or data not in READERS:
        return ""
    return (
        f"recipe={recipe} has settings for its own data, such as scores and label names; "
        f"recipe={own} fits any data."
    )


OmegaConf.register_new_resolver(
    "filed_under",
    lambda recipe, data, *, _root_: filed_under(recipe, data, _root_),
    replace=True,
)
