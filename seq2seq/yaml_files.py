"""Reads YAML files of limited size, without creating objects; a checksum shows damage."""

import hashlib
from pathlib import Path
from typing import Any

import yaml
from omegaconf import DictConfig, ListConfig, OmegaConf

from seq2seq.errors import UserError

MAXIMUM_BYTES = 2**20
MAXIMUM_NODES = 50_000
"""The limit after aliases (`*name`) are expanded; a few of them can mean billions of values."""


CHECKSUM = "# sha256 of what follows: "


def checked_yaml(config: Any) -> str:
    """Returns a config as YAML, under a comment with its checksum."""
    text = OmegaConf.to_yaml(config)
    return f"{CHECKSUM}{hashlib.sha256(text.encode()).hexdigest()}\n{text}"


def check_checksum(path: Path, text: str) -> None:
    """Compares the text of a file with its checksum, if it has one.

    Raises:
        UserError: If they differ.
    """
    first, newline, rest = text.partition("\n")
    if text.startswith("#") and not newline:
        raise UserError(f"{path}: ends in its first line, a comment; copy it again")
    is_checked = CHECKSUM.strip("# ") in first  # also after a damaged "#"
    if is_checked and first != CHECKSUM + hashlib.sha256(rest.encode()).hexdigest():
        raise UserError(
            f"{path}: has changed since it was written. Copy it again; to change a setting, name "
            "it when resuming (seq2seq train resume=RUN key=value); to accept the file as it is, "
            "remove its first line"
        )


def load(path: Path) -> DictConfig:
    """Reads a config file as plain values.

    Raises:
        UserError: If it is missing, too large, damaged, or not a mapping.
    """
    config = _read(path)
    if not isinstance(config, DictConfig):
        raise UserError(f"{path}: must be a mapping of keys to values")
    return config


def load_list(path: Path) -> list[str]:
    """Reads a list of texts.

    Raises:
        UserError: If it is missing, too large, damaged, or not a list.
    """
    config = _read(path)
    if not isinstance(config, ListConfig):
        raise UserError(f"{path}: must be a list")
    return list(map(str, config))


def _read(path: Path) -> DictConfig | ListConfig | None:
    try:
        with path.open("rb") as file:
            content = file.read(MAXIMUM_BYTES + 1)
        if len(content) > MAXIMUM_BYTES:
            raise ValueError(f"a config has at most {MAXIMUM_BYTES:,} bytes")
        text = content.decode("utf-8-sig")
        check_checksum(path, text)
        count = _expanded_count(yaml.compose(text, Loader=yaml.SafeLoader), {})
        if count > MAXIMUM_NODES:
            raise ValueError(
                f"a config has at most {MAXIMUM_NODES:,} values, counted with aliases expanded"
            )
        return OmegaConf.create(text) if text.strip() else None
    except UserError:
        raise
    except Exception as error:  # yaml and omegaconf raise many kinds, with the line in the message
        reason = " ".join(str(error).split()) or type(error).__name__
        raise UserError(f"{path}: cannot be read ({reason})") from error


def _expanded_count(node: yaml.Node | None, counts: dict[int, int | None]) -> int:
    """Counts the values below a node with its aliases expanded."""
    if node is None:
        return 0
    if id(node) not in counts:
        counts[id(node)] = None  # until counted; if met before that, it contains itself
        children: list[yaml.Node] = []
        if isinstance(node, yaml.MappingNode):
            children = [part for pair in node.value for part in pair]
        elif isinstance(node, yaml.SequenceNode):
            children = node.value
        counts[id(node)] = 1 + sum(_expanded_count(part, counts) for part in children)
    count = counts[id(node)]
    if count is None:
        raise ValueError("an alias contains itself")
    return count
