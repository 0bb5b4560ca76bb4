"""Reads the folders of finished runs: config, scores, predictions, learning curve."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from seq2seq.data.formats.json_lines import read_objects
from seq2seq.errors import UserError
from seq2seq.evaluation.item_statistics import item_statistics
from seq2seq.prediction_rows import Kind, kind_of, read_rows
from seq2seq.tracking.parameters import meaningful
from seq2seq.yaml_files import load


@dataclass(frozen=True)
class FinishedRun:
    """The content of a run folder.

    Attributes:
        name: The run's name in tables.
        folder: The run folder.
        config: The config, flattened: dotted key to text.
        tree: The config as it was written.
        metrics: The content of `metrics.json`.
        history: One entry an epoch: metrics, `step`, `seconds`, `target_tokens`; may be empty.
        run_id: The id of its MLflow run, if there is one.
    """

    name: str
    folder: Path
    config: dict[str, str]
    tree: DictConfig
    metrics: dict[str, Any]
    history: list[dict[str, float]] = field(default_factory=list)
    run_id: str | None = None

    @property
    def seed(self) -> str:
        """The seed in the config, or an empty string."""
        return self.config.get("seed", "")

    @property
    def variant(self) -> dict[str, str]:
        """The config without the seed and without null values, which older runs may not have."""
        return {k: v for k, v in self.config.items() if k != "seed" and v != "null"}

    def without(self, keys: Sequence[str]) -> "FinishedRun":
        """Returns the run without config keys, and without all keys below them."""
        prefixes = tuple(f"{key}." for key in keys)
        config = {k: v for k, v in self.config.items() if not f"{k}.".startswith(prefixes)}
        return replace(self, config=config)

    @property
    def monitor(self) -> str:
        """The validation metric that selected the best epoch, such as `val_loss`."""
        return self.config.get("trainer.monitor", "val_loss")

    @cached_property
    def rows(self) -> list[dict[str, Any]]:
        """The test predictions, see `seq2seq.prediction_rows`; empty if they were not saved."""
        path = self.folder / "predictions" / "test.jsonl"
        return read_rows(path) if path.is_file() else []

    @cached_property
    def season_lengths(self) -> set[int | None]:
        """The season lengths that scaled errors, such as MASE, were computed with."""
        return {row.get("season_length") for row in self.rows}

    @cached_property
    def baselines(self) -> list[dict[str, Any]]:
        """The test scores of each `method`, `model` among them; empty without baselines."""
        path = self.folder / "tables" / "test_baselines.jsonl"
        return read_rows(path) if path.is_file() else []

    @property
    def kind(self) -> Kind:
        """What the run predicts."""
        return kind_of(self.rows[0])

    @cached_property
    def statistics(self) -> list[dict[str, Any]]:
        """The statistics of each test item, see `seq2seq.evaluation.item_statistics`."""
        path = self.folder / "predictions" / "test.statistics.jsonl"
        if path.is_file():
            statistics = read_rows(path)
            if len(statistics) != len(self.rows):
                raise UserError(f"{path}: needs a line for each of {len(self.rows):,} predictions")
            return statistics
        return item_statistics(self.rows, self.config.get("task.scheme"))  # of an older run

    @cached_property
    def test_set(self) -> tuple[str, ...]:
        """The source (series and origin) and references of each test item, as one string."""
        fields = ("source", "unique_id", "cutoff", "target", "reference", "references")
        return tuple(
            json.dumps([row.get(name) for name in fields], ensure_ascii=False) for row in self.rows
        )


def read_run(folder: Path, run_id: str | None = None) -> FinishedRun:
    """Reads the folder of a finished run; raises UserError if it is not one.

    `run_id` is the id of its MLflow run; None for the one in its file `mlflow_run_id`.
    """
    metrics = folder / "metrics.json"
    if not metrics.is_file():
        raise UserError(f"{folder}: is not the folder of a finished run, it has no metrics.json")
    config = load(_config_file(folder))
    try:
        scores = json.loads(metrics.read_text("utf-8"))
        history = folder / "history.jsonl"
        epochs = [row for _, row in read_objects(history)] if history.is_file() else []
    except ValueError as error:
        raise UserError(f"{metrics}: is damaged ({error})") from error
    written = folder / "mlflow_run_id"
    if run_id is None and written.is_file():
        run_id = written.read_text("utf-8").strip()
    return FinishedRun(
        name="/".join(folder.resolve().parts[-2:]),
        folder=folder,
        config=flat_config(config),
        tree=config,
        metrics=scores,
        history=epochs,
        run_id=run_id,
    )


def flat_config(config: DictConfig) -> dict[str, str]:
    """Returns a config as dotted keys and texts, without keys that do not change results."""
    plain = OmegaConf.to_container(config, resolve=False)
    assert isinstance(plain, Mapping)
    return meaningful({str(key): value for key, value in plain.items()})


def run_folders(folder: Path) -> list[Path]:
    """Returns the run folders below a folder, or the folder itself if it is one, sorted by name."""
    if (folder / "metrics.json").is_file():
        return [folder]
    paths = sorted(folder.rglob("metrics.json"), key=lambda path: _natural(path.parent))
    return [path.parent for path in paths if "mlartifacts" not in path.parts]


def _natural(path: Path) -> list[tuple[int, str]]:
    """Returns a sort key that puts trial 10 after trial 9."""
    return [(int(part), "") if part.isdigit() else (-1, part) for part in path.parts]


def _config_file(folder: Path) -> Path:
    """Returns the file of the config, also in a copy by MLflow or of the model folder only."""
    for subfolder in (".hydra", ".", "model"):
        path = folder / subfolder / "config.yaml"
        if path.is_file():
            return path
    raise UserError(f"{folder}: has no .hydra/config.yaml, so its config is unknown")
