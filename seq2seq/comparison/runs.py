"""A finished run as what comparing it takes."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

from omegaconf import DictConfig, OmegaConf

from seq2seq.data.formats.json_lines import read_objects
from seq2seq.errors import UserError
from seq2seq.tracking.parameters import meaningful
from seq2seq.yaml_files import load

Row = dict[str, Any]

Kind = Literal["texts", "tags", "classes", "label sets"]
"""What is predicted: a text, a label for each token, one label, or any number of labels."""


@dataclass(frozen=True)
class FinishedRun:
    """A run folder that has been read.

    Attributes:
        name: What the run is called in tables.
        folder: The run folder.
        config: The config, flat: dotted key to text.
        tree: The same as it was written.
        metrics: The content of `metrics.json`.
        history: One entry for each epoch: metrics, `step`, `seconds`, `target_tokens`. Empty where
            the run has kept none.
        run_id: Its MLflow run, if there is one.
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
        """The seed, as the config has it."""
        return self.config.get("seed", "")

    @property
    def variant(self) -> dict[str, str]:
        """The config without the seed: runs of one variant differ by chance alone.

        What is null is left out: an older run may not know the key.
        """
        return {k: v for k, v in self.config.items() if k != "seed" and v != "null"}

    def without(self, keys: Sequence[str]) -> "FinishedRun":
        """The run with a config that does not know some keys, nor any below them."""
        beginnings = tuple(f"{key}." for key in keys)
        kept = {k: v for k, v in self.config.items() if not f"{k}.".startswith(beginnings)}
        return replace(self, config=kept)

    @property
    def monitor(self) -> str:
        """The validation metric that the run's best epoch was chosen by, such as `val_loss`."""
        return self.config.get("trainer.monitor", "val_loss")

    @cached_property
    def rows(self) -> list[Row]:
        """The test predictions, in the order of the test set; empty if none were kept.

        The `prediction` and `reference` of a tagger are lists with a label for each token, its
        `source` the list of tokens; where a text has any number of labels, both are lists of them.
        """
        path = self.folder / "predictions" / "test.jsonl"
        if not path.is_file():
            return []
        return [self._with_lists(row) for _, row in read_objects(path)]

    def _with_lists(self, row: Row) -> Row:
        if _is_tagged(row):
            labels = row.get("reference_labels", str(row.get("reference", "")).split(" "))
            tagged = {"source": row["tokens"], "prediction": row["labels"], "reference": labels}
            return row | tagged
        if self._has_label_sets(row):
            delimiter = self.config.get("task.label_delimiter", ",")
            sets = {name: row[name] for name in ("prediction", "reference") if name in row}
            return row | {name: [*filter(None, t.split(delimiter))] for name, t in sets.items()}
        return row

    def _has_label_sets(self, row: Row) -> bool:
        return "probabilities" in row and self.config.get("task.multi_label") == "true"

    @property
    def kind(self) -> Kind:
        """What the run predicts, as its rows show."""
        row = self.rows[0]
        if _is_tagged(row):
            return "tags"
        if self._has_label_sets(row):
            return "label sets"
        return "classes" if "probabilities" in row else "texts"

    @cached_property
    def test_set(self) -> tuple[str, ...]:
        """What was to be predicted: sources and references, as one text a row."""
        return tuple(
            json.dumps([row.get("source"), row.get("reference")], ensure_ascii=False)
            for row in self.rows
        )


def _is_tagged(row: Row) -> bool:
    return isinstance(row.get("tokens"), list) and isinstance(row.get("labels"), list)


def read_run(folder: Path, run_id: str | None = None) -> FinishedRun:
    """Reads a run folder.

    Args:
        folder: The folder of a finished run.
        run_id: Its MLflow run; if null, what the folder's `mlflow_run_id` says.

    Raises:
        UserError: If it is not the folder of a finished run.
    """
    metrics = folder / "metrics.json"
    if not metrics.is_file():
        raise UserError(f"{folder}: is not the folder of a finished run, it has no metrics.json")
    config = load(folder / ".hydra" / "config.yaml" if _has_hydra(folder) else _saved(folder))
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
    """The config as dotted keys and texts, without what does not change results."""
    plain = OmegaConf.to_container(config, resolve=False)
    assert isinstance(plain, Mapping)
    return meaningful({str(key): value for key, value in plain.items()})


def run_folders(folder: Path) -> list[Path]:
    """A run folder itself, or the run folders below a folder, in order of their names."""
    if (folder / "metrics.json").is_file():
        return [folder]
    found = sorted(folder.rglob("metrics.json"), key=lambda path: _natural(path.parent))
    return [path.parent for path in found if "mlartifacts" not in path.parts]


def _natural(path: Path) -> list[tuple[int, str]]:
    """Sorts trial 10 after trial 9."""
    return [(int(part), "") if part.isdigit() else (-1, part) for part in path.parts]


def _has_hydra(folder: Path) -> bool:
    return (folder / ".hydra" / "config.yaml").is_file()


def _saved(folder: Path) -> Path:
    """Where MLflow has the config of a run, or the model folder what is left of it."""
    for path in (folder / "config.yaml", folder / "model" / "config.yaml"):
        if path.is_file():
            return path
    raise UserError(f"{folder}: has no .hydra/config.yaml, so what was run is not known")
