"""Reads YAML files of limited size, without creating objects."""

from pathlib import Path

import yaml
from omegaconf import DictConfig, OmegaConf

from seq2seq.errors import UserError

MAXIMUM_BYTES = 2**20
MAXIMUM_NODES = 50_000
"""The limit after aliases (`*name`) are expanded; a few of them can mean billions of values."""


def load(path: Path) -> DictConfig:
    """Reads a config file as plain values.

    Raises:
        UserError: If it is missing, too large, damaged, or not a mapping.
    """
    try:
        with path.open("rb") as file:
            content = file.read(MAXIMUM_BYTES + 1)
        if len(content) > MAXIMUM_BYTES:
            raise ValueError(f"a config has at most {MAXIMUM_BYTES:,} bytes")
        text = content.decode("utf-8-sig")
        count = _expanded_count(yaml.compose(text, Loader=yaml.SafeLoader), {})
        if count > MAXIMUM_NODES:
            raise ValueError(
                f"a config has at most {MAXIMUM_NODES:,} values, counted with aliases expanded"
            )
        config = OmegaConf.create(text) if text.strip() else None
    except Exception as error:  # yaml and omegaconf raise many kinds, with the line in the message
        reason = " ".join(str(error).split()) or type(error).__name__
        raise UserError(f"{path}: cannot be read ({reason})") from error
    if not isinstance(config, DictConfig):
        raise UserError(f"{path}: must be a mapping of keys to values")
    return config


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
