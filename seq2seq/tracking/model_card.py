"""Model cards: what a run was trained on, how good it is, and how to use it, as Markdown.

The file has the metadata that the Hugging Face Hub reads, in YAML before the text, see
https://huggingface.co/docs/hub/model-cards.
"""

import math
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from seq2seq.prediction_rows import kind_of
from seq2seq.scores import LOWER_IS_BETTER, best_baseline, counted, main_score, number

MODEL_CARD = "README.md"
"""The file of a run folder that holds its model card."""

NOT_REPRODUCED = ("hydra.", "tracking.", "tracking=", "resume=")
"""Prefixes of the overrides that do not change results."""

SCORED = ("validation", "test")
MAX_EXAMPLE = 100
PIPELINES = {
    "translation": "translation",
    "tagging": "token-classification",
    "classification": "text-classification",
    "generation": "text-generation",
    "forecasting": "time-series-forecasting",
}
"""The names of the tasks on the Hugging Face Hub."""


@dataclass(frozen=True)
class SplitSummary:
    """One split of the data.

    Attributes:
        split: `train`, `validation` or `test`.
        name: The name of the data.
        source: A folder, an address or a TFDS name.
        digest: A hash of the content.
        records: The number of records.
    """

    split: str
    name: str
    source: str
    digest: str
    records: int


@dataclass(frozen=True)
class ModelCard:
    """The content of a model card.

    Attributes:
        tags: The run's tags: `recipe`, `task`, and `license` if the user gives it.
        splits: The data.
        metrics: The content of `metrics.json`.
        overrides: The overrides that the run was started with.
        parameters: The number of the model's weights.
        run_folder: The run folder.
        example: A row of the test predictions.
        intervals: The 95 % confidence intervals of test scores, by name.
        seed: The seed of the training.
        baselines: The test scores of each `method`, the model among them; empty without baselines.
    """

    tags: Mapping[str, str]
    splits: Sequence[SplitSummary]
    metrics: Mapping[str, Any]
    overrides: Sequence[str]
    parameters: int
    run_folder: Path
    example: Mapping[str, Any]
    intervals: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    seed: int | None = None
    baselines: Sequence[Mapping[str, Any]] = ()

    def file(self) -> str:
        """Returns the card with the metadata of the Hugging Face Hub before it."""
        metadata = yaml.safe_dump(self._metadata(), sort_keys=False, allow_unicode=True)
        return f"---\n{metadata}---\n\n{self}"

    def __str__(self) -> str:
        """Returns the card as Markdown."""
        parts = [self.title, self._summary(), "## Scores", self._scores()]
        if len(self.baselines) > 1:
            parts += ["## Baselines", self._baselines()]
        parts += ["## Data", self._data()]
        parts += ["## Use", self._use(), self._formats(), "## Limits", self._limits()]
        parts += ["## Reproduce", self._command()]
        parts += ["## License", self.tags.get("license", "Unknown: the run was not given one.")]
        return "\n\n".join(parts) + "\n"

    def _metadata(self) -> dict[str, Any]:
        name = self.tags.get("recipe", self.run_folder.name)
        task = PIPELINES.get(self.tags.get("task", ""))
        data = next((item.name for item in self.splits if item.split == "test"), "")
        results = [
            {"type": score, "value": value}
            for score, value in self.metrics["test"].items()
            if isinstance(value, float | int)
        ]
        result = {"dataset": {"type": data, "name": data, "split": "test"}, "metrics": results}
        metadata: dict[str, Any] = {"license": self.tags.get("license", "unknown")}
        metadata |= {"library_name": "seq2seq", "tags": ["keras", "tensorflow", "rnn"]}
        if task is None:
            return metadata
        model = {"name": name, "results": [{"task": {"type": task}, **result}]}
        return metadata | {"pipeline_tag": task, "model-index": [model]}

    @property
    def title(self) -> str:
        """The first line."""
        return f"# {self.tags.get('recipe', self.run_folder.name)}"

    @property
    def main_score(self) -> str:
        """The main score and its value on the test split, such as `exact_match 0.995`."""
        name = main_score(self.metrics["test"])
        return "" if name is None else f"{name} {number(self.metrics['test'][name])}"

    def _summary(self) -> str:
        training = self.metrics["training"]
        task = self.tags.get("task", "sequence model").capitalize()
        score = f", {self.main_score} on the test split" if self.main_score else ""
        if best := best_baseline(self.baselines, main_score(self.metrics["test"]) or ""):
            score += f" (best baseline: {best[0]} {number(best[1])})"
        return (
            f"{task}{score}; {self.parameters:,} parameters, trained for "
            f"{counted(training['steps'], 'step')} in {_duration(training['seconds'])}."
        )

    def _scores(self) -> str:
        splits = [split for split in SCORED if split in self.metrics]
        main = main_score(self.metrics["test"])
        rows = []
        for name in sorted(self.metrics["test"], key=lambda name: name != main):
            values = [self.metrics[split].get(name) for split in splits]
            cells = [name, *("" if value is None else number(value) for value in values)]
            low_high = self.intervals.get(name)
            cells.append("" if low_high is None else " to ".join(map(number, low_high)))
            rows.append([cell and f"**{cell}**" for cell in cells] if name == main else cells)
        return _table(["score", *splits, "95 % of test"], rows)

    def _baselines(self) -> str:
        """Returns the test scores of all methods, the best first."""
        main = main_score(self.metrics["test"]) or ""
        names = [name for name in self.baselines[0] if name != "method"]
        names.sort(key=lambda name: name != main)
        sign = 1 if main in LOWER_IS_BETTER else -1
        ranked = sorted(self.baselines, key=lambda line: sign * line.get(main, math.inf * sign))
        rows = []
        for line in ranked:
            cells = [number(line[name]) if name in line else "" for name in names]
            cells = [line["method"], *cells]
            is_model = line["method"] == "model"
            rows.append([cell and f"**{cell}**" for cell in cells] if is_model else cells)
        return _table(["on the test split", *names], rows)

    def _data(self) -> str:
        rows = [
            [item.split, f"{item.records:,}", f"`{item.digest[:12]}`", item.name, item.source]
            for item in self.splits
        ]
        return _table(["split", "records", "digest", "name", "source"], rows)

    def _use(self) -> str:
        folder = str(self.run_folder.resolve())
        if kind_of(self.example) == "forecast":
            return (
                f"```python\nimport pandas as pd\nimport seq2seq\n\n"
                f"predict = seq2seq.load({folder!r})\n"
                'print(predict(pd.read_csv("history.csv"), levels=[80, 95]))\n```\n\n'
                f"```sh\nseq2seq predict {shlex.quote(folder)} history.csv --level 80 95\n```"
            )
        source = self.example.get("source")
        example, answer = "...", ""
        if isinstance(source, str) and len(source) <= MAX_EXAMPLE:
            example, answer = source, f"  # {self.example['prediction']}"
        return (
            f"```python\nimport seq2seq\n\npredict = seq2seq.load({folder!r})\n"
            f'print(predict({example!r})["prediction"]){answer}\n```\n\n'
            f"```sh\nseq2seq predict {shlex.quote(folder)} FILE\n```"
        )

    def _formats(self) -> str:
        folder = shlex.quote(str(self.run_folder.resolve()))
        return (
            f"```sh\nseq2seq serve {folder}   # over HTTP, with a page to try it\n"
            f"seq2seq export {folder} FOLDER --format onnx"
            "   # or savedmodel, litert, openvino, keras\n```"
        )

    def _limits(self) -> str:
        training = next((item for item in self.splits if item.split == "train"), None)
        known = (
            "its training data"
            if training is None
            else (f"{counted(training.records, 'record')} of {training.name}")
        )
        seed = "" if self.seed is None else f", with seed {self.seed}"
        return (
            f"The model has learned from {known} alone: on other kinds of input it may be worse "
            f"than the scores say. They are of one training{seed}; the intervals are of the choice "
            "of test items, by bootstrap."
        )

    def _command(self) -> str:
        overrides = [item for item in self.overrides if not item.startswith(NOT_REPRODUCED)]
        return (
            f"```sh\n{shlex.join(['seq2seq', 'train', *overrides])}\n```\n\n"
            "The complete config is in `.hydra/config.yaml`, the versions of all packages in "
            "`environment.json`."
        )


def _duration(seconds: float) -> str:
    return f"{seconds:.0f} seconds" if seconds < 120 else f"{seconds / 60:.0f} minutes"


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Returns a Markdown table."""
    lines = [head, ["---"] * len(head), *rows]
    cells = [[cell.replace("|", "\\|") for cell in line] for line in lines]
    return "\n".join(f"| {' | '.join(line)} |" for line in cells)
