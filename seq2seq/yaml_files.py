"""YAML files, read as plain data of a bounded size."""

from pathlib import Path

import yaml
from omegaconf import DictConfig, OmegaConf

from seq2seq.errors import UserError

LARGEST_FILE = 2**20
MOST_NODES = 50_000
"""Of a file whose aliases (`*name`) are written out: a few lines of them may stand for billions."""


def load(path: Path) -> DictConfig:
    """Reads a config file; values, and never objects, are made from it.

    Raises:
        UserError: If it is missing, too large, damaged, or not a mapping.
    """
    try:
        with path.open("rb") as file:
            content = file.read(LARGEST_FILE + 1)
        if len(content) > LARGEST_FILE:
            raise ValueError(f"a config has at most {LARGEST_FILE:,} bytes")
        text = content.decode("utf-8-sig")
        count = _written_out(yaml.compose(text, Loader=yaml.SafeLoader), {})
        if count > MOST_NODES:
            raise ValueError(f"a config has at most {MOST_NODES:,} values, its aliases written out")
        config = OmegaConf.create(text) if text.strip() else None
    except Exception as error:  # yaml and omegaconf raise many kinds, with the line in the message
        reason = " ".join(str(error).split()) or type(error).__name__
        raise UserError(f"{path}: cannot be read ({reason})") from error
    if not isinstance(config, DictConfig):
        raise UserError(f"{path}: must be a mapping of keys to values")
    return config


def _written_out(node: yaml.Node | None, counts: dict[int, int | None]) -> int:
    """Counts the values below a node, each alias as often as it stands for its anchor."""
    if node is None:
        return 0
    if id(node) not in counts:
        counts[id(node)] = None  # until it is known: who meets it again is below itself
        below: list[yaml.Node] = []
        if isinstance(node, yaml.MappingNode):
            below = [part for pair in node.value for part in pair]
        elif isinstance(node, yaml.SequenceNode):
            below = node.value
        counts[id(node)] = 1 + sum(_written_out(part, counts) for part in below)
    count = counts[id(node)]
    if count is None:
        raise ValueError("an alias stands for what it is a part of")
    return count
