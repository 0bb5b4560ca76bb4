"""What a saved run may name: classes of a fixed list, and never other code.

The files of a run or a model folder may come from strangers. They are data: a config in them that
names a class which is not on the list, or another way to make objects, is refused before anything
is made from it. Whoever trusts more says so, by the name of a module.
"""

import importlib
import inspect
import re
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NoReturn

from omegaconf import DictConfig, ListConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from seq2seq.errors import UserError
from seq2seq.yaml_files import load

Trust = Sequence[str]
"""Names of modules and classes of one's own that saved runs may name, such as `mypackage.layers`"""

_OWN = {
    "data.batching": ("Batching",),
    "data.embedded.cldr_date_parts": ("CldrDateParts",),
    "data.embedded.cldr_dates": ("CldrDates",),
    "data.embedded.cldr_languages": ("CldrLanguages",),
    "data.formats.conll": ("Conll",),
    "data.formats.json_lines": ("Jsonl", "LabelledJsonl", "TaggedJsonl"),
    "data.formats.labelled_texts": ("LabelFolders", "LabelLines"),
    "data.formats.parallel_text": ("ParallelText",),
    "data.formats.plain_text": ("PlainText",),
    "data.formats.tables": ("Csv", "Tsv"),
    "data.formats.tfds": ("Tfds",),
    "data.holdout": ("Holdout",),
    "data.tokenizers.token_features": ("TokenFeatures",),
    "data.tokenizers.tokenizer": ("Tokenizer", "TokenizerPair"),
    "data.windows": ("Windows",),
    "decoding.beam": ("BeamSearch",),
    "decoding.greedy": ("Greedy",),
    "decoding.penalties": (
        "CoveragePenalty",
        "DiversityPenalty",
        "GNMTLengthPenalty",
        "LengthPenalty",
    ),
    "decoding.sampling": ("Sampling",),
    "layers.attention": ("BahdanauAttention", "LocationAwareAttention", "LuongAttention"),
    "layers.bridge": ("ConcatenateBridge", "CopyBridge", "DenseBridge", "ZeroBridge"),
    "layers.character_features": ("CharacterCNN", "CharacterLSTM"),
    "layers.multi_head_attention": ("MultiHeadAttention",),
    "models.classifier": ("Classifier", "Combine"),
    "models.decoder": ("Decoder",),
    "models.encoder": ("Encoder",),
    "models.language_model": ("LanguageModel",),
    "models.stack": ("RecurrentStack",),
    "models.tagger": ("Tagger",),
    "models.translator": ("Translator",),
    "sweeps.pruning": ("StopHopeless",),
    "sweeps.settings": ("Sweep",),
    "tasks.classification": ("Classification",),
    "tasks.generation": ("Generation",),
    "tasks.initial_encoder": ("InitialEncoder",),
    "tasks.state_pictures": ("StatePictures",),
    "tasks.tagging": ("Tagging",),
    "tasks.translation": ("Translation",),
    "tracking.base": ("NoTracker",),
    "tracking.mlflow_tracker": ("MlflowTracker",),
    "training.optimizers": ("Adam", "AdamW"),
    "training.schedules": ("CosineDecay",),
    "training.trainer": ("Trainer",),
}
CLASSES = frozenset(f"seq2seq.{module}.{name}" for module, names in _OWN.items() for name in names)
"""The package's own classes that a config names."""

MOVED_MODULES = {
    "data.cldr_languages": "data.embedded.cldr_languages",
    "data.cldr_parts": "data.embedded.cldr_date_parts",
    "data.conll": "data.formats.conll",
    "data.datasets.Jsonl": "data.formats.json_lines.Jsonl",
    "data.datasets.ParallelText": "data.formats.parallel_text.ParallelText",
    "data.datasets.Tsv": "data.formats.tables.Tsv",
    "data.labelled_files.Csv": "data.formats.tables.Csv",
    "data.labelled_files.LabelledJsonl": "data.formats.json_lines.LabelledJsonl",
    "data.labelled_files": "data.formats.labelled_texts",
    "data.plain_text": "data.formats.plain_text",
    "data.splits": "data.holdout",
    "data.streams": "data.windows",
    "data.tagged_jsonl": "data.formats.json_lines",
    "data.tfds_datasets.CldrDates": "data.embedded.cldr_dates.CldrDates",
    "data.tfds_datasets": "data.formats.tfds",
    "data.token_features": "data.tokenizers.token_features",
    "data.tokenizers": "data.tokenizers.tokenizer",
}
"""Where modules and classes that older runs name are today, below `seq2seq`."""

LIBRARIES = {
    "keras.callbacks": ("RemoteMonitor",),
    "keras.constraints": (),
    "keras.initializers": (),
    "keras.optimizers": (),
    "keras.optimizers.schedules": (),
    "keras.regularizers": (),
    "optuna.pruners": (),
    "optuna.samplers": (),
}
"""Modules whose classes a saved config may name, too, and which of them it may not."""

_REFERENCE = re.compile(r"\$\{\.*[A-Za-z_][\w.]*\}")
_RESOLVER = re.compile(r"\$\{([A-Za-z_][\w.]*):([^${}]*)\}")
_NAME = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*")


def check_trust(trust: Trust) -> None:
    """Refuses what is not the dotted name of a module, class or resolver.

    Raises:
        UserError: If there is one.
    """
    for name in trust:
        if not _NAME.fullmatch(name):
            raise UserError(
                f"--trust {name}: must be the name of a module or class, such as mypackage.layers"
            )


def load_saved(
    path: Path, trust: Trust = (), keys: Collection[str] | None = None, resolve: bool = True
) -> DictConfig:
    """Reads the config that a run saved, and checks all that it names.

    Args:
        path: The file.
        trust: What may be named besides the list.
        keys: The keys that are needed, of those that are there; None for all.
        resolve: Whether references such as `${data.pattern}` become the values they stand for.

    Raises:
        UserError: If the file cannot be read, or names what is not trusted.
    """
    check_trust(trust)
    config = with_current_names(load(path))
    values = check_config(config, str(path), trust, keys)
    return OmegaConf.create(values) if resolve else config


def with_current_names(config: DictConfig) -> DictConfig:
    """Returns a config whose `_target_` names classes where they are today."""

    def renamed(node: object) -> object:
        if isinstance(node, list):
            return [renamed(item) for item in node]
        if not isinstance(node, dict):
            return node
        values = {key: renamed(value) for key, value in node.items()}
        if isinstance(target := values.get("_target_"), str):
            values["_target_"] = _current_name(target)
        return values

    return OmegaConf.create(renamed(OmegaConf.to_container(config)))  # type: ignore[call-overload]


def _current_name(target: str) -> str:
    name = target.removeprefix("seq2seq.")
    module, _, short = name.rpartition(".")
    if target in CLASSES or not target.startswith("seq2seq."):
        return target
    if name in MOVED_MODULES:
        return f"seq2seq.{MOVED_MODULES[name]}"
    return f"seq2seq.{MOVED_MODULES.get(module, module)}.{short}"


def check_config(
    config: DictConfig, place: str, trust: Trust = (), keys: Collection[str] | None = None
) -> dict[str, object]:
    """Checks all that a saved config names, and returns its values.

    Args:
        config: The config, which may hold references.
        place: Where it comes from.
        trust: What may be named besides the list.
        keys: The keys that are needed, of those that are there; None for all.

    Raises:
        UserError: If it cannot be resolved, or names what is not trusted.
    """
    try:
        _check_references(OmegaConf.to_container(config), config, place, trust)
        resolved = OmegaConf.to_container(config, resolve=True)
    except OmegaConfBaseException as error:
        raise UserError(f"{place}: cannot be read ({str(error).splitlines()[0]})") from error
    assert isinstance(resolved, dict)
    values = {str(key): resolved[key] for key in resolved if keys is None or key in keys}
    check_trusted(values, place, trust)
    return values


def plain_values(config: DictConfig) -> dict[str, object]:
    """Returns a config as plain values, its references as they are written."""
    plain = OmegaConf.to_container(config)
    assert isinstance(plain, dict)
    return {str(key): value for key, value in plain.items()}


def check_trusted(config: Mapping[str, object], place: str, trust: Trust = ()) -> None:
    """Checks all that a saved config names, at any depth.

    Args:
        config: Plain values, without references.
        place: Where they come from.
        trust: What may be named besides the list.

    Raises:
        UserError: If something is not trusted.
    """
    for path, key, value in _entries(config):
        if isinstance(value, str) and "${" in value:
            _refuse(path, value, "a reference", place)
        if key == "_target_" and not (isinstance(value, str) and is_trusted(value, trust)):
            node = path.removesuffix("_target_").removesuffix(".")
            _refuse(node, str(value), "not a class that a saved run may name", place)
        if key.startswith("_") and key not in ("_target_", "_partial_", "_convert_"):
            raise UserError(f"{place}: {path} has no place in what a run saved")
        if isinstance(value, Mapping):
            _check_arguments(path, value, place, trust)


def is_trusted(name: str, trust: Trust = ()) -> bool:
    """Returns whether a saved config may name a class, module or resolver."""
    module, _, short = name.rpartition(".")
    if any(name == trusted or name.startswith(f"{trusted}.") for trusted in trust):
        return True
    if name in CLASSES:
        return True
    if module not in LIBRARIES or short in LIBRARIES[module] or short.startswith("_"):
        return False
    return inspect.isclass(getattr(importlib.import_module(module), short, None))


def _check_arguments(path: str, node: Mapping[str, object], place: str, trust: Trust) -> None:
    """Refuses arguments by which a trusted class would write or load what a stranger chose."""
    target = str(node.get("_target_"))
    if target.startswith("keras.callbacks.") and "keras.callbacks" not in trust:
        for key, value in node.items():
            if isinstance(value, str) and (Path(value).is_absolute() or ".." in Path(value).parts):
                _refuse(f"{path}.{key}", value, "outside of the current folder", place, target)
    name = str(node.get("name"))
    if target.endswith(".Tfds") and ":" in name and target not in trust:
        _refuse(f"{path}.name", name, "a data set that brings code of its own", place, target)


def _check_references(
    plain: Any, config: DictConfig | ListConfig, place: str, trust: Trust
) -> None:
    """Refuses references that run resolvers, or by which a few lines become a giant.

    Args:
        plain: The values as they are written.
        config: The same as a `DictConfig` or `ListConfig`, which resolves references.
        place: Where they come from.
        trust: Which resolvers are trusted.
    """
    keys: Iterable[Any] = config if isinstance(config, DictConfig) else range(len(config))
    for key in keys:
        value = plain[key]
        if isinstance(value, str) and "${" in value:
            left = _REFERENCE.sub("", value, count=1)
            left = _RESOLVER.sub(lambda match: "" if _may_resolve(match, trust) else match[0], left)
            if "${" in left:
                resolver = _RESOLVER.search(left)
                _refuse(str(key), value, "more than a reference", place, resolver and resolver[1])
            if OmegaConf.is_config(config[key]):
                _refuse(str(key), value, "a reference to more than one value", place)
        elif isinstance(value, dict | list):
            _check_references(value, config[key], place, trust)


def _may_resolve(match: re.Match[str], trust: Trust) -> bool:
    known = match[1] == "oc.env" and match[2].partition(",")[0] == "SEQ2SEQ_DATA"
    return known or is_trusted(match[1], trust)


def _refuse(path: str, value: str, what: str, place: str, wanted: str | None = None) -> NoReturn:
    """Raises the error that names what was refused and how to trust it."""
    module = wanted or value.rpartition(".")[0]
    remedy = f" If you trust it, say so: --trust {module}" if _NAME.fullmatch(module) else ""
    raise UserError(
        f"{place}: {path} names '{value}', which is {what}; a saved run must not run code of "
        f"somebody's choice.{remedy}"
    )


def _entries(node: object, path: str = "") -> Iterator[tuple[str, str, object]]:
    """Yields the path, the last key and the value of all that a config holds."""
    if isinstance(node, Mapping):
        for key, value in node.items():
            below = f"{path}.{key}" if path else str(key)
            yield below, str(key), value
            yield from _entries(value, below)
    elif isinstance(node, list | tuple):
        for number, value in enumerate(node):
            yield f"{path}[{number}]", "", value
            yield from _entries(value, f"{path}[{number}]")
