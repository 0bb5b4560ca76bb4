"""Composes configs from overrides, checks their keys, and builds objects from their nodes."""

import hashlib
import inspect
import math
import os
import re
import sys
from collections.abc import Callable, Iterable, Iterator
from importlib import resources
from pathlib import Path
from types import UnionType
from typing import Any, Literal, TypeVar, Union, cast, get_args, get_origin, get_type_hints

import hydra.utils
from hydra import compose, initialize_config_dir
from hydra.core.config_store import ConfigStore
from hydra.core.global_hydra import GlobalHydra
from hydra.errors import HydraException, InstantiationException, MissingConfigException
from omegaconf import DictConfig, ListConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from seq2seq.errors import UserError
from seq2seq.nearest_name import nearest
from seq2seq.progress import step
from seq2seq.yaml_files import load

ObjectT = TypeVar("ObjectT")
_YAML_ENDINGS = (".yaml", ".yml")
_PLAIN_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_-]*")
_HYDRA_VALUES = ("null", "true", "false", "inf", "nan")
_ENCODED = "file-"
"""Prefix of choices that are encoded file names, see `_choice_of`."""


def folder(name: str) -> Path:
    """Returns the path of `conf` or `recipes`, in the installed package or in the checkout."""
    package = Path(str(resources.files("seq2seq")))
    installed = package / name
    return installed if installed.is_dir() else package.parent / name


def recipe_files() -> dict[str, Path]:
    """Returns the files of all recipes by name, such as `translation/cldr_dates`."""
    top = folder("recipes")
    return {
        path.relative_to(top).with_suffix("").as_posix(): path
        for path in sorted(top.rglob("*.yaml"))
        if not any(part.startswith(".") for part in path.relative_to(top).parts)
    }


def recipe_names(value: str) -> list[str]:
    """Splits the value of a `recipe=` override at commas, except those in file names."""
    known = recipe_files()
    names, name = list[str](), ""
    for part in value.split(","):
        name = f"{name},{part}" if name else part
        if name in known or _is_file(name):
            names.append(name)
            name = ""
    return names if names and not name else value.split(",")


def register_recipe(name: str) -> str:
    """Registers a recipe as a choice of Hydra's group `recipe`, and returns the choice.

    Args:
        name: The name of a recipe of the package, or the path of a YAML file.

    Raises:
        UserError: If there is no such recipe, or its YAML cannot be read.
    """
    known = recipe_files()
    is_file = _is_file(name)
    if not is_file and name.lower().endswith(_YAML_ENDINGS):
        raise UserError(f"recipe={name}: no such file.")
    if not is_file and name not in known:
        raise UserError(
            f"recipe={name}: no such recipe{nearest(name, known)}. "
            "`seq2seq recipes` lists them; name a file of your own with its .yaml ending."
        )
    path = Path(name) if is_file else known[name]
    choice = _choice_of(path) if is_file else name
    group, _, leaf = f"recipe/{choice}".rpartition("/")
    ConfigStore.instance().store(group=group, name=leaf, node=load(path), package="_global_")
    return choice


def _is_file(name: str) -> bool:
    try:
        return name.lower().endswith(_YAML_ENDINGS) and Path(name).is_file()
    except (OSError, ValueError):  # for example, if the name is too long
        return False


def _choice_of(path: Path) -> str:
    """Returns the name of a recipe's file, encoded if Hydra would not parse it as a string.

    The code is the name in hexadecimal and a hash of the path.
    """
    stem = path.stem
    if _PLAIN_NAME.fullmatch(stem) and stem.lower() not in _HYDRA_VALUES:
        return stem
    digest = hashlib.sha256(os.fsencode(path.absolute())).hexdigest()[:8]
    return f"{_ENCODED}{os.fsencode(stem).hex()}-{digest}"


def recipe_name(choice: str) -> str:
    """Returns the name of a recipe, or of its file, from Hydra's choice."""
    match = re.fullmatch(rf"{_ENCODED}([0-9a-f]+)-[0-9a-f]{{8}}", choice)
    return os.fsdecode(bytes.fromhex(match[1])) if match else choice


def own_recipe(choice: str | None) -> dict[str, str]:
    """Returns the YAML of a recipe of the user by the name of its file; else an empty dict."""
    if choice is None or choice in recipe_files():
        return {}
    group, _, leaf = f"recipe/{choice}".rpartition("/")
    node = ConfigStore.instance().load(f"{group}/{leaf}.yaml").node
    return {f"{recipe_name(choice)}.yaml": OmegaConf.to_yaml(node)}


@step("checking the config")
def composed(
    overrides: list[str],
    name: str = "train",
    check: Callable[[DictConfig], object] | None = None,
) -> DictConfig:
    """Composes and checks the config of one run.

    Args:
        overrides: Hydra overrides.
        name: The primary config: `conf/train.yaml`, or one stored with `store_config`.
        check: Called with the config before its classes are imported; may raise.

    Raises:
        UserError: If an override or a key is invalid.
    """
    try:
        with initialize_config_dir(str(folder("conf").resolve()), version_base="1.3"):
            config = compose(name, overrides=overrides)
    except (HydraException, OmegaConfBaseException) as error:
        raise UserError(explain(error, overrides, name)) from error
    except (ValueError, TypeError) as error:  # for overrides such as `=1`
        raise UserError(" ".join(str(error).split())) from error
    finally:
        GlobalHydra.instance().clear()
    if check is not None:
        check(config)
    check_keys(config)
    return config


def store_config(name: str, config: DictConfig) -> None:
    """Registers a primary config with Hydra, see `composed`."""
    ConfigStore.instance().store(name=name, node=config)


def explain(error: Exception, overrides: list[str], name: str) -> str:
    """Returns a message for Hydra's error on an invalid override, with the nearest valid key."""
    text = str(error)
    if isinstance(error, MissingConfigException) and error.missing_cfg_file:
        group, _, leaf = error.missing_cfg_file.rpartition("/")
        known = sorted(error.options or [])
        hint = f" (known: {', '.join(known)})" if known else ""
        return f"{group}={leaf}: no such choice{nearest(leaf, known)}{hint}."
    # Only the message of the exception has the key.
    if match := re.search(r"Could not override '([^']+)'", text):
        key = match[1]
        valid = [o for o in overrides if not re.match(rf"[+~]*{re.escape(key)}\b", o)]
        if valid == overrides:  # the key is in the defaults of a recipe
            groups = top_level_keys()
            return f"{key}: no such config group{nearest(key.split('@')[0], groups)}."
        known = list(keys_of(composed(valid, name)))
        parent = key.rpartition(".")[0]
        siblings = [k for k in known if k.rpartition(".")[0] == parent]
        hint = nearest(key, siblings) if parent else ""
        hint = hint or nearest(key, [*config_groups(), *known])
        return f"{key}: no such config key{hint or '; --cfg job prints all'}."
    return re.sub(r"\s*\n\s*", " ", text).strip()


def keys_of(node: Any, prefix: str = "") -> Iterator[str]:
    """Yields every dotted key of a config."""
    if isinstance(node, DictConfig):
        for key in cast(Iterable[str | int], node):
            yield f"{prefix}{key}"
            if not OmegaConf.is_missing(node, key) and not OmegaConf.is_interpolation(node, key):
                yield from keys_of(node[key], f"{prefix}{key}.")


def check_keys(config: DictConfig) -> None:
    """Checks the top-level keys, the values, and every `_target_` node against its constructor.

    Raises:
        UserError: If a key is unknown, a value missing or invalid, or a class cannot be imported.
    """
    check_top_level(config)
    check_values(config)
    check_nodes(config)


def check_top_level(config: DictConfig) -> None:
    """Raises UserError for an unknown top-level key."""
    known = top_level_keys()
    for key in map(str, config):
        if key not in known:
            hint = nearest(key, [*known, *config_groups(), *keys_of(config)])
            raise UserError(f"{key}: no such config key{hint}.")


def config_groups() -> list[str]:
    """Returns the groups of configs, such as `model/attention`."""
    top = folder("conf")
    return sorted(path.relative_to(top).as_posix() for path in top.rglob("*") if path.is_dir())


def top_level_keys() -> list[str]:
    """Returns the valid top-level keys: those of `conf/train.yaml` and its groups."""
    train = OmegaConf.load(folder("conf") / "train.yaml")
    groups = [next(iter(entry)) for entry in train.defaults if not isinstance(entry, str)]
    names = [str(group).split("@")[-1].split()[-1].strip("/") for group in groups]
    return [*(str(key) for key in train if key != "defaults"), *names]


def check_values(config: DictConfig) -> None:
    """Raises UserError for a missing value, or a reference that cannot be resolved."""
    try:
        OmegaConf.to_container(config, resolve=True, throw_on_missing=True)
    except OmegaConfBaseException as error:
        key = getattr(error, "full_key", None) or "config"
        first = str(error).splitlines()[0]
        raise UserError(f"{key}: {first}. Give it as {key}=... or in the recipe.") from error


def nodes(node: Any, path: str = "") -> Iterator[tuple[str, DictConfig]]:
    """Yields the path and content of every `_target_` node."""
    if isinstance(node, DictConfig) and "_target_" in node:
        yield path, node
    if isinstance(node, DictConfig):
        for key in cast(Iterable[str | int], node):
            yield from nodes(node[key], f"{path}.{key}" if path else str(key))
    elif isinstance(node, ListConfig):
        for number, item in enumerate(node):
            yield from nodes(item, f"{path}[{number}]")


def check_nodes(config: DictConfig) -> None:
    """Checks the keys and values of each `_target_` node against the class's constructor.

    Raises:
        UserError: If a class cannot be imported, or does not accept a key or its value.
    """
    for path, node in nodes(config):
        _check_finite(path, node)
        located = locate(path, node)
        parameters = inspect.signature(located).parameters
        if not located.__module__.startswith("seq2seq.") and any(
            p.kind is p.VAR_KEYWORD for p in parameters.values()
        ):
            continue  # a class of another package, which checks its own arguments
        valid = [name for name in parameters if name != "kwargs"]
        # Type hints of other packages may use names that only type checkers import.
        is_own = inspect.isclass(located) and located.__module__.startswith("seq2seq.")
        types = get_type_hints(located.__init__) if is_own else {}
        for key in map(str, node):
            if key.startswith("_"):
                continue
            if key not in valid:
                raise UserError(f"{path}.{key}: no such config key{nearest(key, valid)}.")
            if not fits(node[key], types.get(key, Any)):
                hint = inspect.formatannotation(types[key]).replace("typing.", "")
                raise UserError(f"{path}.{key}: must be {hint}, got {node[key]!r}.")


def _check_finite(path: str, node: DictConfig) -> None:
    """Raises UserError for NaN and infinite numbers."""
    for key in map(str, node):
        value = node[key]
        if isinstance(value, float) and not math.isfinite(value):
            raise UserError(f"{path}.{key}: must be a finite number, got {value}.")


def locate(path: str, node: DictConfig) -> Any:
    """Imports the class that a node's `_target_` names, or raises UserError."""
    target = node["_target_"]
    try:
        return hydra.utils.get_object(target)
    except Exception as error:  # an import may raise any kind
        reason = " ".join(str(error).split())
        module, _, name = target.rpartition(".")
        suggestion = nearest(name, [*vars(sys.modules[module])]) if module in sys.modules else ""
        raise UserError(
            f"{path}._target_: cannot import '{target}'{suggestion} ({reason})"
        ) from error


def fits(value: Any, hint: Any) -> bool:
    """Returns whether a value fits a type hint; only scalar types are checked."""
    if get_origin(hint) in (Union, UnionType):
        return any(fits(value, option) for option in get_args(hint))
    if get_origin(hint) is Literal:
        return value in get_args(hint)
    if hint is float:
        return isinstance(value, int | float) and not isinstance(value, bool)
    if hint is int:
        return isinstance(value, int) and not isinstance(value, bool)
    if hint in (str, bool, type(None)):
        return isinstance(value, hint)
    return True


def build_as(config: DictConfig, key: str, base: type[ObjectT], **arguments: Any) -> ObjectT:
    """Builds the object of a node, see `build`, and checks that it is of a class.

    Raises:
        UserError: If it is of another class, or a value is invalid.
    """
    built = build(config, key, **arguments)
    if not isinstance(built, base):
        raise UserError(
            f"{key}._target_: must name a class of {base.__name__}, got {type(built).__name__}"
        )
    return built


def build(config: DictConfig, key: str, **arguments: Any) -> Any:
    """Builds the object that a node describes.

    Args:
        config: The config.
        key: The node's key.
        arguments: Further constructor arguments, which are not in the config.

    Raises:
        UserError: If a value is invalid; the message names the key.
    """
    try:
        if not arguments:
            return hydra.utils.instantiate(config[key])
        # Arguments are not merged into the config, where they could name classes or other keys.
        constructor = hydra.utils.instantiate(config[key], _partial_=True)
    except InstantiationException as error:
        cause = error.__cause__
        while isinstance(cause, InstantiationException) and cause.__cause__ is not None:
            cause = cause.__cause__
        if isinstance(cause, UserError):
            raise cause from error
        full_key = re.search(r"full_key: (\S+)", str(error))  # only the message has it
        path = full_key.group(1) if full_key else key
        path = path if path.startswith(key) else f"{key}.{path}"
        raise UserError(f"{path}: {cause or error}") from error
    try:
        return constructor(**arguments)
    except UserError:
        raise
    except Exception as error:
        raise UserError(f"{key}: {error}") from error
