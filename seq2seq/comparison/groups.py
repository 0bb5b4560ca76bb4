"""Groups runs that differ only in their seed into variants."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from seq2seq.comparison.finished_run import FinishedRun
from seq2seq.evaluation.significance import mean_and_deviation
from seq2seq.scores import LOWER_IS_BETTER

MAX_LABEL = 60


@dataclass(frozen=True)
class Variant:
    """Runs with the same config except for the seed.

    Attributes:
        label: The config values that differ from the other variants.
        runs: The runs, one for each seed.
    """

    label: str
    runs: tuple[FinishedRun, ...]

    def values(self, metric: str, split: str = "test") -> list[float]:
        """Returns the score of each run that has the metric."""
        scores = [run.metrics.get(split, {}).get(metric) for run in self.runs]
        return [float(score) for score in scores if score is not None]

    def summary(self, metric: str, split: str = "test") -> tuple[float, float | None] | None:
        """Returns mean and deviation over the seeds; None if no run has the metric."""
        values = self.values(metric, split)
        return mean_and_deviation(values) if values else None

    @property
    def representative(self) -> FinishedRun:
        """The run to compare: the median by validation score, or the worse of two."""
        metric = self.runs[0].monitor.removeprefix("val_")
        sign = 1 if metric in LOWER_IS_BETTER else -1

        def rank(run: FinishedRun) -> float:
            return sign * float(run.metrics.get("validation", {}).get(metric, 0.0))

        return sorted(self.runs, key=rank)[len(self.runs) // 2]


def grouped(runs: Sequence[FinishedRun]) -> list[Variant]:
    """Groups runs that differ only in their seed, in the order of their first runs."""
    groups: dict[str, list[FinishedRun]] = {}
    for run in runs:
        groups.setdefault(json.dumps(run.variant, sort_keys=True), []).append(run)
    differing = config_differences([group[0] for group in groups.values()])
    labels = _labels([group[0] for group in groups.values()], differing)
    return [
        Variant(label, tuple(group)) for label, group in zip(labels, groups.values(), strict=True)
    ]


def config_differences(runs: Sequence[FinishedRun]) -> dict[str, list[str]]:
    """Returns the config keys in which runs differ, except the seed, each with the runs' values.

    A value is an empty string if a run does not have the key, or null.
    """
    keys = dict.fromkeys(key for run in runs for key in run.variant)
    table = {key: [run.variant.get(key, "") for run in runs] for key in keys}
    return {key: values for key, values in table.items() if len(set(values)) > 1}


def _labels(runs: Sequence[FinishedRun], differing: Mapping[str, Sequence[str]]) -> list[str]:
    """Returns the differing values of each variant, or its name if they do not suit as a label."""
    if len(runs) == 1:
        return [runs[0].name]
    labels = []
    for position, run in enumerate(runs):
        own = {key: values[position] for key, values in differing.items()}
        # Where the class differs, its arguments differ too.
        classes = {key: value for key, value in own.items() if key.endswith("_target_")}
        text = ", ".join(f"{_short(k)}={_value(k, v)}" for k, v in (classes or own).items())
        labels.append(text if 0 < len(text) <= MAX_LABEL else run.name)
    return labels if len(set(labels)) == len(labels) else [run.name for run in runs]


def _value(key: str, value: str) -> str:
    """Shortens the name of a class to its last part."""
    return (value.rpartition(".")[2] if key.endswith("_target_") else value) or "none"


def _short(key: str) -> str:
    """Shortens `model.attention._target_` to `attention`, `model.a.units` to `a.units`."""
    parts = key.removesuffix("._target_").split(".")
    return ".".join(parts[-2:]) if len(parts) > 2 and not key.endswith("_target_") else parts[-1]
