"""Composes configs from overrides, checks their keys, and builds objects from their nodes."""

import difflib
import hashlib
import inspect
import math
import os
import re
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
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
from seq2seq.yaml_files import load

Kind = TypeVar("Kind")
ENDINGS = (".yaml", ".yml")
_PLAIN_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_-]*")
_HYDRA_VALUES = ("null", "true", "false", "inf", "nan")
_FILE = "file-"


def folder(name: str) -> Path:
    """Returns the path of `conf` or `recipes`: in the installed package, or in the checkout."""
    package = Path(str(resources.files("seq2seq")))
    inside = package / name
    return inside if inside.is_dir() else package.parent / name


def recipe_files() -> dict[str, Path]:
    """Returns every recipe by its name, such as `translation/cldr_dates`."""
    top = folder("recipes")
    return {
        path.relative_to(top).with_suffix("").as_posix(): path
        for path in sorted(top.rglob("*.yaml"))
        if not any(part.startswith(".") for part in path.relative_to(top).parts)
    }


def recipe_names(value: str) -> list[str]:
    """Returns the names of a `recipe=` override, separated by commas, which file names may hold."""
    known = recipe_files()
    names, name = list[str](), ""
    for part in value.split(","):
        name = f"{name},{part}" if name else part
        if name in known or _is_file(name):
            names.append(name)
            name = ""
    return names if names and not name else value.split(",")


def register_recipe(name: str) -> str:
    """Registers a recipe with Hydra as a choice of the group `recipe`, and returns its name there.

    Args:
        name: The name of a recipe of the package, or the path of a YAML file.

    Raises:
        UserError: If there is no such recipe, or its YAML cannot be read.
    """
    known = recipe_files()
    is_file = _is_file(name)
    if not is_file and name not in known:
        raise UserError(
            f"recipe={name}: no such recipe{nearest(name, known)}. "
            "`seq2seq recipes` lists them; a file of your own is named with its .yaml ending."
        )
    path = Path(name) if is_file else known[name]
    choice = _choice_of(path) if is_file else name
    group, _, leaf = f"recipe/{choice}".rpartition("/")
    ConfigStore.instance().store(group=group, name=leaf, node=load(path), package="_global_")
    return choice


def _is_file(name: str) -> bool:
    try:
        return name.lower().endswith(ENDINGS) and Path(name).is_file()
    except (OSError, ValueError):  # such as a name that is too long
        return False


def _choice_of(path: Path) -> str:
    """Returns a name for a recipe's file that Hydra reads as a text.

    Names that Hydra would parse otherwise are written in hexadecimal, with a hash of the path.
    """
    stem = path.stem
    if _PLAIN_NAME.fullmatch(stem) and stem.lower() not in _HYDRA_VALUES:
        return stem
    place = hashlib.sha256(os.fsencode(path.absolute())).hexdigest()[:8]
    return f"{_FILE}{os.fsencode(stem).hex()}-{place}"


def recipe_name(choice: str) -> str:
    """Returns the name of a recipe, or of its file, from Hydra's choice."""
    match = re.fullmatch(rf"{_FILE}([0-9a-f]+)-[0-9a-f]{{8}}", choice)
    return os.fsdecode(bytes.fromhex(match[1])) if match else choice


def nearest(name: str, known: Mapping[str, Any] | list[str]) -> str:
    """Returns `; the nearest is 'x'` for the most similar known name, or an empty string."""
    matches = difflib.get_close_matches(name, list(known), n=1, cutoff=0.3)
    return f"; the nearest is '{matches[0]}'" if matches else ""


def composed(
    overrides: list[str],
    name: str = "train",
    check: Callable[[DictConfig], object] | None = None,
) -> DictConfig:
    """Composes and checks the config of one run.

    Args:
        overrides: Hydra overrides.
        name: The primary config: `conf/train.yaml`, or one that was stored with `store_config`.
        check: Called with the config before the classes that it names are imported; may raise.

    Raises:
        UserError: If an override or a key is wrong.
    """
    try:
        with initialize_config_dir(str(folder("conf").resolve()), version_base="1.3"):
            config = compose(name, overrides=overrides)
    except (HydraException, OmegaConfBaseException) as error:
        raise UserError(explain(error, overrides, name)) from error
    except (ValueError, TypeError) as error:  # of overrides such as `=1`
        raise UserError(" ".join(str(error).split())) from error
    finally:
        GlobalHydra.instance().clear()
    if check is not None:
        check(config)
    check_keys(config)
    return config


def store_config(name: str, config: DictConfig) -> None:
    """Registers a config with Hydra, so that overrides can be composed onto it."""
    ConfigStore.instance().store(name=name, node=config)


def explain(error: Exception, overrides: list[str], name: str) -> str:
    """Returns a message for Hydra's error on a bad override, with the nearest valid key."""
    text = str(error)
    if isinstance(error, MissingConfigException) and error.missing_cfg_file:
        group, _, leaf = error.missing_cfg_file.rpartition("/")
        known = sorted(error.options or [])
        hint = f" (known: {', '.join(known)})" if known else ""
        return f"{group}={leaf}: no such choice{nearest(leaf, known)}{hint}."
    # The key stands in the message only: the exception does not have it.
    missing = re.search(r"Could not override '([^']+)'", text)
    if missing:
        key = missing.group(1)
        others = [o for o in overrides if not re.match(rf"[+~]*{re.escape(key)}\b", o)]
        if others == overrides:  # the key stands in a recipe's defaults
            groups = top_level_keys()
            return f"{key}: no such config group{nearest(key.split('@')[0], groups)}."
        known = list(keys_of(composed(others, name)))
        parent = key.rpartition(".")[0]
        siblings = [k for k in known if k.rpartition(".")[0] == parent]
        return f"{key}: no such config key{nearest(key, siblings) or nearest(key, known)}."
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
        UserError: If a key is unknown, a required value is missing, or a target cannot be found.
    """
    check_top_level(config)
    check_values(config)
    check_nodes(config)


def check_top_level(config: DictConfig) -> None:
    """Raises UserError for an unknown top-level key."""
    known = top_level_keys()
    for key in map(str, config):
        if key not in known:
            raise UserError(f"{key}: no such config key{nearest(key, known)}.")


def top_level_keys() -> list[str]:
    """Returns the valid top-level keys: those of `conf/train.yaml` and its groups."""
    train = OmegaConf.load(folder("conf") / "train.yaml")
    groups = [next(iter(entry)) for entry in train.defaults if not isinstance(entry, str)]
    names = [str(group).split("@")[-1].split()[-1].strip("/") for group in groups]
    return [*(str(key) for key in train if key != "defaults"), *names]


def check_values(config: DictConfig) -> None:
    """Raises UserError for a value that is missing, or a reference that cannot be resolved."""
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
    """Checks each `_target_` node against the constructor that it will be passed to.

    Raises:
        UserError: If a target cannot be imported, does not take a key, or not such a value.
    """
    for path, node in nodes(config):
        _check_finite(path, node)
        located = locate(path, node)
        parameters = inspect.signature(located).parameters
        if not located.__module__.startswith("seq2seq.") and any(
            p.kind is p.VAR_KEYWORD for p in parameters.values()
        ):
            continue  # a foreign class checks its own arguments
        valid = [name for name in parameters if name != "kwargs"]
        # The hints of other packages may name what only a type checker imports.
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
    """Refuses NaN and infinite numbers, which are no valid argument of any class."""
    for key in map(str, node):
        value = node[key]
        if isinstance(value, float) and not math.isfinite(value):
            raise UserError(f"{path}.{key}: must be a finite number, got {value}.")


def locate(path: str, node: DictConfig) -> Any:
    """Imports the class that a node's `_target_` names, or raises UserError."""
    target = node["_target_"]
    try:
        return hydra.utils.get_object(target)
    except Exception as error:  # whatever an import may raise
        reason = " ".join(str(error).split())
        raise UserError(
            f"{path}._target_: cannot import '{target}'{_nearest_member(target)} ({reason})"
        ) from error


def _nearest_member(target: str) -> str:
    """Returns a hint at the module's name that is nearest to a mistyped one."""
    module, _, name = target.rpartition(".")
    members = [*vars(sys.modules[module])] if module in sys.modules else []
    return nearest(name, members)


def fits(value: Any, hint: Any) -> bool:
    """Returns whether a scalar is of an annotated type; types that are not scalars pass."""
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


def build_as(config: DictConfig, key: str, kind: type[Kind], **arguments: Any) -> Kind:
    """Builds the object that a node names, which has to be of a kind.

    Raises:
        UserError: If it is not, or a value is impossible.
    """
    built = build(config, key, **arguments)
    if not isinstance(built, kind):
        raise UserError(
            f"{key}._target_: must name a class of {kind.__name__}, got {type(built).__name__}"
        )
    return built


def build(config: DictConfig, key: str, **arguments: Any) -> Any:
    """Builds the object that a node names.

    Args:
        config: The config.
        key: The node's key.
        arguments: Constructor arguments that are not in the config.

    Raises:
        UserError: If a value is impossible, naming the key.
    """
    try:
        if not arguments:
            return hydra.utils.instantiate(config[key])
        # Not merged into the config, where their content could name classes or refer to keys.
        make = hydra.utils.instantiate(config[key], _partial_=True)
        return _called(make, key, arguments)
    except InstantiationException as error:
        cause = error.__cause__
        while isinstance(cause, InstantiationException) and cause.__cause__ is not None:
            cause = cause.__cause__
        if isinstance(cause, UserError):
            raise cause from error
        full_key = re.search(r"full_key: (\S+)", str(error))  # in the message only
        path = full_key.group(1) if full_key else key
        path = path if path.startswith(key) else f"{key}.{path}"
        raise UserError(f"{path}: {cause or error}") from error


def _called(make: Callable[..., Any], key: str, arguments: Mapping[str, Any]) -> Any:
    """Calls a constructor as Hydra does: errors become an InstantiationException with the key."""
    try:
        return make(**arguments)
    except Exception as error:
        raise InstantiationException(f"full_key: {key}") from error
