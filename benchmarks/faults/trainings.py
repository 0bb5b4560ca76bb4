"""Trainings of 12 steps with 3 checkpoints, one for each task, and what their run folders hold."""

import hashlib
import json
from collections.abc import Mapping
from itertools import islice
from pathlib import Path
from typing import Any

from seq2seq.data.embedded.cldr_dates import DateExample, date_examples

SPLITS = {"train": 64, "validation": 16, "test": 16}

COMMON = ("trainer.epochs=3", "trainer.log_every=3")

FILES = tuple(f"data.files.{split}={split}.txt" for split in SPLITS)

TASKS: Mapping[str, tuple[str, ...]] = {
    "translation": (
        "recipe=translation/cldr_dates",
        "data=parallel_text",
        *(
            f"data.{side}.{split}={split}.{side}"
            for side in ("source", "target")
            for split in SPLITS
        ),
        "batching=sentences",
        "batching.batch_size=16",
        "model.embedding_dim=8",
        "model.encoder.units=8",
        "model.decoder.units=16",
        "decoding.maximum_length_ratio=0.0",
        "decoding.maximum_length_extra=12",
    ),
    "tagging": (
        "recipe=tagging/own_data",
        "data=conll",
        *FILES,
        "batching=sentences",
        "batching.batch_size=16",
        "model.embedding_dim=8",
        "model.encoder.units=8",
        "trainer.patience=5",
    ),
    "classification": (
        "recipe=classification/own_data",
        "data=labelled_tsv",
        *FILES,
        "tokenizer=text/character",
        "batching=sentences",
        "batching.batch_size=16",
        "model.embedding_dim=8",
        "model.encoder.units=8",
        "trainer.averaging=0.9",
    ),
    "generation": (
        "recipe=generation/own_data",
        "data=plain_text",
        *FILES,
        "batching.batch_size=4",
        "batching.length=120",
        "data.tail.validation=null",
        "data.tail.test=null",
        "model.embedding_dim=8",
        "model.stack.units=8",
    ),
    "forecasting": (
        "recipe=forecasting/co2",
        "batching.steps_per_epoch=4",
        "batching.batch_size=8",
        "model.encoder.units=8",
        "task.horizon=6",
    ),
}
"""The overrides of each task's training; the data are dates of Unicode CLDR, or CO2 values."""


def write_data(task: str, folder: Path) -> list[str]:
    """Writes the data of a task into a folder; returns all overrides of its training."""
    overrides = [*TASKS[task], *COMMON]
    if task == "forecasting":
        return overrides
    folder.mkdir(parents=True, exist_ok=True)
    for split, count in SPLITS.items():
        examples = list(islice(date_examples(split), count))
        if task == "translation":
            for side in ("source", "target"):
                text = "".join(f"{getattr(example, side)}\n" for example in examples)
                (folder / f"{split}.{side}").write_text(text, encoding="utf-8")
        else:
            text = "".join(_text(task, example) for example in examples)
            (folder / f"{split}.txt").write_text(text, encoding="utf-8")
    return [*overrides, f"data.directory={folder}"]


def _text(task: str, example: DateExample) -> str:
    """Returns an example in the format of a task's file."""
    if task == "tagging":
        tokens = example.source.split()
        labels = ["number" if any(map(str.isdigit, token)) else "name" for token in tokens]
        return (
            "".join(f"{each} {label}\n" for each, label in zip(tokens, labels, strict=True)) + "\n"
        )
    if task == "classification":
        return f"{example.source}\t{example.target[:2]}\n"
    return f"{example.source} {example.target}\n"


TIMES = ("seconds", "training_seconds", "target_tokens_per_second", "waiting_share")
"""The keys of metrics and history that differ from run to run."""

NOT_COMPARED = ("checksums.json", "format.json")
"""Files that depend on other files or on the version of the code, which a commit changes."""


def results(run: Path) -> dict[str, str]:
    """Returns digests of all results of a run that depend on its recipe and seed alone.

    These are the files of `model/` (of weights, their values), the scores of `metrics.json` and
    `history.jsonl`, and the predictions and tables.
    """
    digests = {}
    for name in ("model", "predictions", "tables"):
        for path in sorted((run / name).rglob("*")):
            if path.is_file() and path.name not in NOT_COMPARED:
                digests[path.relative_to(run).as_posix()] = _digest(path)
    for name in ("metrics.json", "history.jsonl"):
        if (run / name).exists():
            digests[name] = _digest(run / name)
    return digests


def _digest(path: Path) -> str:
    if path.suffix == ".h5":
        return _digest_of_weights(path)
    if path.name not in ("metrics.json", "history.jsonl"):
        return hashlib.sha256(path.read_bytes()).hexdigest()
    text = path.read_text(encoding="utf-8")
    values = (
        json.loads(text) if path.suffix == ".json" else list(map(json.loads, text.split("\n")[:-1]))
    )
    return json.dumps(_without_times(values), sort_keys=True)


def _without_times(value: Any) -> Any:
    if isinstance(value, list):
        return list(map(_without_times, value))
    if isinstance(value, dict):
        return {key: _without_times(each) for key, each in value.items() if key not in TIMES}
    return value


def _digest_of_weights(path: Path) -> str:
    """Returns a digest of the names, shapes and bits of all arrays of a weights file."""
    import h5py

    digest = hashlib.sha256()

    def add(name: str, item: Any) -> None:
        if isinstance(item, h5py.Dataset):
            digest.update(f"{name} {item.shape} {item.dtype}\0".encode() + item[()].tobytes())

    with h5py.File(path, "r") as file:
        file.visititems(add)
    return digest.hexdigest()


def differences(expected: Mapping[str, str], found: Mapping[str, str]) -> list[str]:
    """Returns the names of results that are missing, different or too many."""
    return sorted(name for name in {*expected, *found} if expected.get(name) != found.get(name))
