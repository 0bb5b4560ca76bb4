"""The list of classes that the config of a saved run may name.

The files of a run or a model folder may be hostile. A config in them that names another class, or
creates objects in another way, is refused before anything is created from it. Users can trust
further modules and classes by name.
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
"""Names of further modules and classes that saved runs may name, such as `mypackage.layers`."""

_CLASSES = {
    "data.batching": ("Batching",),
    "data.embedded.cldr_date_parts": ("CldrDateParts",),
    "data.embedded.cldr_dates": ("CldrDates",),
    "data.embedded.cldr_languages": ("CldrLanguages",),
    "data.embedded.co2": ("Co2",),
    "data.embedded.m3": ("M3",),
    "data.formats.conll": ("Conll",),
    "data.formats.json_lines": ("Jsonl", "LabelledJsonl", "TaggedJsonl"),
    "data.formats.labelled_texts": ("LabelFolders", "LabelLines"),
    "data.formats.parallel_text": ("ParallelText",),
    "data.formats.plain_text": ("PlainText",),
    "data.formats.tables": ("Csv", "Tsv"),
    "data.formats.tfds": ("Tfds",),
    "data.formats.series": ("Series",),
    "data.holdout": ("Holdout",),
    "data.series_scaling": ("WindowScaling",),
    "data.series_windows": ("SeriesWindows",),
    "data.statistical_scaling": ("StatisticalScaling",),
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
    "layers.scheduled_sampling": (
        "ExponentialSchedule",
        "InverseSigmoidSchedule",
        "LinearSchedule",
    ),
    "models.autoregressive_forecaster": ("AutoregressiveForecaster",),
    "models.classifier": ("Classifier", "Combine"),
    "models.decoder": ("Decoder",),
    "models.encoder": ("Encoder",),
    "models.forecaster": ("DirectForecaster", "RepeatForecaster"),
    "models.language_model": ("LanguageModel",),
    "models.stack": ("RecurrentStack",),
    "models.tagger": ("Tagger",),
    "models.translator": ("Translator",),
    "sweeps.pruning": ("StopHopeless",),
    "sweeps.settings": ("Sweep",),
    "tasks.classification": ("Classification",),
    "tasks.forecasting": ("Forecasting",),
    "tasks.generation": ("Generation",),
    "tasks.initial_encoder": ("InitialEncoder",),
    "tasks.state_pictures": ("StatePictures",),
    "tasks.tagging": ("Tagging",),
    "tasks.translation": ("Translation",),
    "tracking.base": ("NoTracker",),
    "tracking.mlflow_tracker": ("MlflowTracker",),
    "training.distributions": (
        "Gaussian",
        "NegativeBinomial",
        "Point",
        "Quantiles",
        "StudentT",
    ),
    "training.optimizers": ("Adam", "AdamW"),
    "training.schedules": ("CosineDecay",),
    "training.trainer": ("Trainer",),
    "training.workers": ("Mirrored", "MultiWorker", "Workers"),
}
CLASSES = frozenset(
    f"seq2seq.{module}.{name}" for module, names in _CLASSES.items() for name in names
)
"""The classes of this package that a config may name."""

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
"""Old to current names, below `seq2seq`, of modules and classes that older runs name."""

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
"""Library modules whose classes a saved config may name, each with the classes excluded."""

_REFERENCE = re.compile(r"\$\{\.*[A-Za-z_][\w.]*\}")
_RESOLVER = re.compile(r"\$\{([A-Za-z_][\w.]*):([^${}]*)\}")
_NAME = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*")


def check_trust(trust: Trust) -> None:
    """Raises UserError for a string that is not a dotted name."""
    for name in trust:
        if not _NAME.fullmatch(name):
            raise UserError(
                f"--trust {name}: must be the name of a module or class, such as mypackage.layers"
            )


def load_saved(
    path: Path, trust: Trust = (), keys: Collection[str] | None = None, resolve: bool = True
) -> DictConfig:
    """Reads the config of a saved run, and checks every name in it.

    Args:
        path: The file.
        trust: Further trusted names.
        keys: The top-level keys to return; None for all.
        resolve: Whether references such as `${data.pattern}` are resolved.

    Raises:
        UserError: If the file cannot be read, or names a class that is not trusted.
    """
    check_trust(trust)
    config = with_current_names(load(path))
    values = check_config(config, str(path), trust, keys)
    return OmegaConf.create(values) if resolve else config


def with_current_names(config: DictConfig) -> DictConfig:
    """Replaces the old names of moved classes, which older runs have, by the current ones."""

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
    """Checks every name in a saved config, and returns its resolved values.

    `place` is its file, for messages; see `load_saved` for the others and the errors.
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
    """Returns a config as plain values, without resolving references."""
    plain = OmegaConf.to_container(config)
    assert isinstance(plain, dict)
    return {str(key): value for key, value in plain.items()}


def check_trusted(config: Mapping[str, object], place: str, trust: Trust = ()) -> None:
    """Raises UserError if plain values name a class that is not trusted, at any depth."""
    for path, key, value in _entries(config):
        if isinstance(value, str) and "${" in value:
            _refuse(path, value, "a reference", place)
        if key == "_target_" and not (isinstance(value, str) and is_trusted(value, trust)):
            node = path.removesuffix("_target_").removesuffix(".")
            _refuse(node, str(value), "not a class that a saved run may name", place)
        if key.startswith("_") and key not in ("_target_", "_partial_", "_convert_"):
            raise UserError(f"{place}: {path} is not allowed in the config of a saved run")
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
    """Refuses arguments by which a trusted class could write files elsewhere or load code."""
    target = str(node.get("_target_"))
    if target.startswith("keras.callbacks.") and "keras.callbacks" not in trust:
        for key, value in node.items():
            if isinstance(value, str) and (Path(value).is_absolute() or ".." in Path(value).parts):
                _refuse(f"{path}.{key}", value, "outside of the current folder", place, target)
    name = str(node.get("name"))
    if target.endswith(".Tfds") and ":" in name and target not in trust:
        _refuse(f"{path}.name", name, "a data set with its own code", place, target)


def _check_references(
    plain: Any, config: DictConfig | ListConfig, place: str, trust: Trust
) -> None:
    """Refuses references that run resolvers, or stand for more than a value or a list of values.

    `plain` has the values with unresolved references, `config` the same with resolved ones.
    """
    keys: Iterable[Any] = config if isinstance(config, DictConfig) else range(len(config))
    for key in keys:
        value = plain[key]
        if isinstance(value, str) and "${" in value:
            refused = _REFERENCE.sub("", value, count=1)
            refused = _RESOLVER.sub(lambda m: "" if _may_resolve(m, trust) else m[0], refused)
            if "${" in refused:
                resolver = _RESOLVER.search(refused)
                _refuse(str(key), value, "more than a reference", place, resolver and resolver[1])
            if OmegaConf.is_config(config[key]) and not _is_list_of_values(config[key]):
                _refuse(str(key), value, "a reference to more than one value", place)
        elif isinstance(value, dict | list):
            _check_references(value, config[key], place, trust)


def _is_list_of_values(config: DictConfig | ListConfig) -> bool:
    """Returns whether a node is a list of texts and numbers, such as the names of columns."""
    return isinstance(config, ListConfig) and not any(OmegaConf.is_config(item) for item in config)


def _may_resolve(match: re.Match[str], trust: Trust) -> bool:
    known = match[1] == "oc.env" and match[2].partition(",")[0] == "SEQ2SEQ_DATA"
    return known or is_trusted(match[1], trust)


def _refuse(path: str, value: str, reason: str, place: str, name: str | None = None) -> NoReturn:
    """Raises the error for a refused value; `name` is what to trust, by default its module."""
    name = name or value.rpartition(".")[0]
    remedy = f" If you trust it, add --trust {name}" if _NAME.fullmatch(name) else ""
    raise UserError(
        f"{place}: {path} names '{value}', which is {reason}; a saved run must not run code other "
        f"than seq2seq's.{remedy}"
    )


def _entries(node: object, path: str = "") -> Iterator[tuple[str, str, object]]:
    """Yields the path, the last key and the value of every entry at any depth."""
    if isinstance(node, Mapping):
        for key, value in node.items():
            full_key = f"{path}.{key}" if path else str(key)
            yield full_key, str(key), value
            yield from _entries(value, full_key)
    elif isinstance(node, list | tuple):
        for number, value in enumerate(node):
            yield f"{path}[{number}]", "", value
            yield from _entries(value, f"{path}[{number}]")
