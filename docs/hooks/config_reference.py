"""The config reference: each key of `conf/` with its default and its meaning.

Defaults and short comments are those of the YAML files; meanings are the argument descriptions of
the classes that the files name. The classes are read with griffe, without importing TensorFlow.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import griffe
import yaml

from seq2seq.config import folder

GROUPS = (
    "task", "data", "tokenizer", "tokenizer/text", "batching", "model", "model/bridge",
    "model/attention", "model/scheduled_sampling", "model/character_features", "decoding",
    "optimizer", "trainer", "distribute", "tracking", "sweep",
)  # fmt: skip
ROOT = Path(__file__).parents[2]


@dataclass(frozen=True)
class Key:
    """A key of a YAML file: its default as written there, and the comment beside it."""

    name: str
    default: str
    comment: str
    target: str
    """The class that the key belongs to; empty for keys of no class."""
    argument: str
    """The argument of that class which the key is, or is a part of."""


def config_reference() -> str:
    """Returns a section for the top level and for each group of configs."""
    top = folder("conf")
    sections = ["## Top level\n", _table(list(keys_of(top / "train.yaml")))]
    for group in GROUPS:
        sections.append(f"## {group}\n")
        paths = sorted((top / group).glob("*.yaml"))
        derived = [path for path in paths if _is_derived(path)]
        sections += [_choice(group, path) for path in paths if path not in derived]
        if derived:
            sections.append(_derived_choices(group, derived))
    return "\n".join(sections)


def keys_of(path: Path) -> Iterator[Key]:
    """Yields the keys of a YAML file, nested ones with dots."""
    text = path.read_text(encoding="utf-8")
    root = yaml.compose(text)
    if isinstance(root, yaml.MappingNode):
        yield from _keys(root, text.splitlines())


def _keys(
    node: yaml.MappingNode, lines: list[str], prefix: str = "", target: str = "", argument: str = ""
) -> Iterator[Key]:
    values = {key.value: value for key, value in node.value}
    is_class = "_target_" in values
    if is_class:
        target, argument = values["_target_"].value, ""
    for name, value in values.items():
        if name.startswith("_") or (not prefix and name in ("defaults", "hydra")):
            continue
        if isinstance(value, yaml.MappingNode) and value.value:
            yield from _keys(value, lines, f"{prefix}{name}.", target, argument or name)
        else:
            comment = _comment(lines[value.start_mark.line])
            yield Key(prefix + name, _source(value, lines), comment, target, argument or name)
    for name, default in _defaults(target).items() if is_class else ():
        if name not in values:
            yield Key(prefix + name, default, "", target, name)


def _comment(line: str) -> str:
    _, sign, comment = line.partition(" #")
    return comment.strip() if sign else ""


def _source(node: yaml.Node, lines: list[str]) -> str:
    """Returns a value as it is written."""
    start, end = node.start_mark, node.end_mark
    if start.line != end.line:
        return ""
    return lines[start.line][start.column : end.column].strip()


def _choice(group: str, path: Path) -> str:
    target = next(_targets(path), "")
    about = [_about(path), *([f"Class: `{target}`"] if target else []), _table([*keys_of(path)])]
    return "\n\n".join([f"### {group}={path.stem}", *about, ""])


def _derived_choices(group: str, paths: list[Path]) -> str:
    rows = [f"| `{group}={path.stem}` | {_about(path)} |" for path in paths]
    heading = f"### {group}: choices for one data set\n"
    return "\n".join([heading, "| choice | what it is |", "|---|---|", *rows, ""])


def _is_derived(path: Path) -> bool:
    """Returns whether a file only fills in another choice of its group."""
    return not any(_targets(path)) and "\ndefaults:" in path.read_text(encoding="utf-8")


def _about(path: Path) -> str:
    lines = path.read_text(encoding="utf-8").splitlines()
    comments = [line.removeprefix("#").strip() for line in lines if line.startswith("#")]
    return " ".join(comment for comment in comments if not comment.startswith("@package"))


def _targets(path: Path) -> Iterator[str]:
    root = yaml.compose(path.read_text(encoding="utf-8"))
    for key, value in root.value if isinstance(root, yaml.MappingNode) else ():
        if key.value == "_target_":
            yield value.value


def _table(keys: list[Key]) -> str:
    if not keys:
        return ""
    rows = [f"| `{key.name}` | {_code(key.default)} | {_meaning(key)} |" for key in keys]
    return "\n".join(["| key | default | meaning |", "|---|---|---|", *rows, ""])


def _code(text: str) -> str:
    return f"`{text}`" if text else ""


def _meaning(key: Key) -> str:
    meaning = _described(key.target).get(key.argument, "") or key.comment
    return " ".join((meaning[:1].upper() + meaning[1:]).split()).replace("|", "\\|")


@cache
def _class(target: str) -> griffe.Class | None:
    if not target.startswith("seq2seq."):
        return None
    module, _, name = target.rpartition(".")
    member = _package(module)[name]
    if isinstance(member, griffe.Alias):  # a folder that offers a class of one of its files
        member = _package(member.target_path.rpartition(".")[0])[name]
    return member if isinstance(member, griffe.Class) else None


def _package(module: str) -> griffe.Module:
    loader = _loader()
    return loader.modules_collection[module]  # type: ignore[no-any-return]


@cache
def _loader() -> griffe.GriffeLoader:
    loader = griffe.GriffeLoader(search_paths=[ROOT])
    loader.load("seq2seq")
    loader.resolve_aliases(implicit=True)
    return loader


@cache
def _described(target: str) -> dict[str, str]:
    """Returns the description of each argument of a class, those of its bases included."""
    documented = _class(target)
    descriptions: dict[str, str] = {}
    for described in [*reversed(documented.mro()), documented] if documented else []:
        if described.docstring is None:
            continue
        for section in described.docstring.parse("google", warnings=False):
            if section.kind is griffe.DocstringSectionKind.parameters:
                descriptions |= {item.name: item.description for item in section.value}
    return descriptions


@cache
def _defaults(target: str) -> dict[str, str]:
    """Returns the default of each optional argument of a class."""
    documented = _class(target)
    if documented is None:
        return {}
    return {
        parameter.name: str(parameter.default)
        for parameter in documented.parameters
        if parameter.default is not None and "variadic" not in str(parameter.kind)
    }
