"""The model folder of a run: all that prediction needs, as data that runs no code."""

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import keras
from omegaconf import DictConfig, OmegaConf

from seq2seq.config import build, build_as, check_nodes, locate
from seq2seq.errors import UserError
from seq2seq.files import CHECKSUMS, atomic_folder, damaged_files, write_text
from seq2seq.models.base import SequenceModel
from seq2seq.progress import step
from seq2seq.tasks.base import Task
from seq2seq.training.weights_file import check_weights, save_to_memory
from seq2seq.trust import Trust, load_saved
from seq2seq.version import version

FORMAT = 1
TASK_PARTS = ("tokenizer", "batching", "decoding")
"""The parts of a task beside its own arguments; one without a search has no `decoding`."""
PARTS = ("task", *TASK_PARTS, "model", "precision")
PRECISIONS = ("float32", "mixed_bfloat16")
COLUMNS = "input_columns"
WEIGHTS, CONFIG, ARGUMENTS = "model.weights.h5", "config.yaml", "model_arguments.json"


@contextmanager
def precision(policy: str) -> Iterator[None]:
    """Builds layers under a Keras dtype policy, and restores the one before.

    Raises:
        UserError: If the policy is not in `PRECISIONS`.
    """
    if policy not in PRECISIONS:
        raise UserError(f"precision: must be one of {', '.join(PRECISIONS)}, got {policy!r}")
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(policy)
    try:
        yield
    finally:
        keras.config.set_dtype_policy(before)


def build_task(config: DictConfig) -> Task[Any, Any]:
    """Builds the task of a config with its parts.

    Raises:
        UserError: If a value is impossible.
    """
    parts = {part: build(config, part) for part in TASK_PARTS if config.get(part) is not None}
    return build_as(config, "task", Task, **parts)  # type: ignore[type-abstract]


def build_model(config: DictConfig, arguments: Mapping[str, Any]) -> SequenceModel:
    """Builds the model of a config with the arguments that follow from the data.

    Raises:
        UserError: If a value is impossible.
    """
    return build_as(config, "model", SequenceModel, **arguments)  # type: ignore[type-abstract]


def save_model_folder(
    folder: Path, task: Task[Any, Any], model: SequenceModel, config: Mapping[str, Any]
) -> None:
    """Writes a model folder, or replaces one, at once: all of it or nothing.

    Raises:
        UserError: If it cannot be written.
    """
    try:
        with atomic_folder(folder, replace=True) as aside:
            saved = {part: config[part] for part in PARTS if part in config}
            if columns := _input_columns(task, config):
                saved[COLUMNS] = columns
            write_text(aside / CONFIG, OmegaConf.to_yaml(OmegaConf.create(saved)))
            written = {"format": FORMAT, "seq2seq": version()}
            write_text(aside / "format.json", json.dumps(written))
            write_text(aside / ARGUMENTS, json.dumps(task.model_arguments()))
            task.save(aside)
            weights = save_to_memory(model.training_model)
            (aside / WEIGHTS).write_bytes(weights.getbuffer())
    except OSError as error:
        raise UserError(
            f"{folder}: cannot write the model ({error}). Make room; the weights are in "
            "checkpoints/, and resume=RUN ends the run again."
        ) from error


def _input_columns(task: Task[Any, Any], config: Mapping[str, Any]) -> dict[str, str]:
    """Returns the columns of a task's fields in the training table that have names of their own."""
    columns = config["data"].get("columns") if "data" in config else None
    if not isinstance(columns, Mapping):
        return {}
    return {
        field: columns[field]
        for field in task.input_fields
        if isinstance(columns.get(field), str) and columns[field] != field
    }


@step("loading the model")
def load_model_folder(
    run_folder: Path, trust: Trust = (), precision: str | None = None
) -> tuple[Task[Any, Any], SequenceModel]:
    """Loads the task and the model of a run folder, or of its `model` folder.

    Args:
        run_folder: The folder.
        trust: Modules and classes of one's own that its config may name.
        precision: The precision of computation; None for that of the run.

    Raises:
        UserError: If there is no model, it is damaged, from a newer version, or names code that
            is neither part of seq2seq nor trusted.
    """
    folder = model_folder(run_folder)
    try:
        written = json.loads((folder / "format.json").read_text(encoding="utf-8"))
        if written["format"] > FORMAT:
            raise UserError(
                f"{folder}: written by seq2seq {written['seq2seq']}, which is newer than this one "
                f"({version()}). Upgrade seq2seq to use it."
            )
        if (folder / CHECKSUMS).exists() and (damaged := damaged_files(folder)):
            raise ValueError(f"{', '.join(damaged)} is not as it was written")
        config = load_saved(folder / CONFIG, trust)
        check_nodes(config)
        task = build_task(config)
        task.load(folder)
        task.input_columns = {str(k): str(v) for k, v in (config.get(COLUMNS) or {}).items()}
        model = _saved_model(config, folder, precision or config.precision)
        check_weights(folder / WEIGHTS, model.training_model.count_params())
        model.training_model.load_weights(folder / WEIGHTS)
    except UserError:
        raise
    except Exception as error:  # a damaged file fails in many ways
        raise UserError(
            f"{folder}: the model is damaged ({type(error).__name__}: "
            f"{(str(error) or 'no message').splitlines()[0]}). Copy it again, or train anew."
        ) from error
    return task, model


def _saved_model(config: DictConfig, folder: Path, policy: str) -> SequenceModel:
    """Builds the model of a saved config, with the saved arguments."""
    arguments = json.loads((folder / ARGUMENTS).read_text(encoding="utf-8"))
    if not isinstance(arguments, dict):
        raise ValueError(f"{ARGUMENTS} is not a mapping")
    with precision(policy):
        return build_model(config, arguments)


def set_precision(folder: Path, wanted: str, trust: Trust = ()) -> None:
    """Sets the precision of a saved model, or `int8` for its searches alone.

    Raises:
        UserError: If the model does not search, or its config is damaged or not trusted.
    """
    path = folder / CONFIG
    config = load_saved(path, trust)
    has_int8_search = locate("model", config.model).has_int8_search
    if wanted == "int8" and not has_int8_search:
        raise UserError(
            f"{folder}: int8 makes searches of translations faster, and this model makes none; "
            "use float32 or mixed_bfloat16"
        )
    if has_int8_search:
        config.model.int8_search = wanted == "int8"
    if wanted != "int8":
        config.precision = wanted
    write_text(path, OmegaConf.to_yaml(config))


def model_folder(run_folder: Path) -> Path:
    """Returns the model folder of a run folder, which it may itself be.

    Raises:
        UserError: If it holds no trained model.
    """
    if not run_folder.is_dir():
        raise UserError(f"{run_folder}: there is no such folder; `seq2seq runs` lists the runs.")
    folder = run_folder / "model" if (run_folder / "model").is_dir() else run_folder
    if (run_folder / "best.json").is_file():
        raise UserError(f"{run_folder}: is a sweep. Give a trial of it; best.json names the best.")
    if not (folder / "format.json").is_file():
        raise UserError(
            f"{run_folder}: holds no trained model (no model/format.json). Give the folder of a "
            "finished run."
        )
    return folder


def definition(run_folder: Path) -> Mapping[str, Any] | None:
    """Returns the checksums of a model's files without its weights; None if it has no checksums.

    Models of equal ones differ in the values of their weights alone.
    """
    try:
        text = (model_folder(run_folder) / CHECKSUMS).read_text(encoding="utf-8")
    except FileNotFoundError:
        return None
    return {name: checksum for name, checksum in json.loads(text).items() if name != WEIGHTS}


def saved_search(run_folder: Path, trust: Trust = ()) -> DictConfig | None:
    """Returns the `decoding` config of a run; None if its task does not search.

    Raises:
        UserError: If the config cannot be read or is not trusted.
    """
    search: DictConfig | None
    search = load_saved(model_folder(run_folder) / CONFIG, trust).get("decoding")
    return search
