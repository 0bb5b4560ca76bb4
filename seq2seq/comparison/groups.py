"""Runs that differ by their seed only are one variant."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from seq2seq.comparison.runs import FinishedRun
from seq2seq.evaluation.significance import mean_and_deviation
from seq2seq.plots.curves import LOWER_IS_BETTER

MAX_LABEL = 60


@dataclass(frozen=True)
class Variant:
    """Runs of one config with one or more seeds.

    Attributes:
        label: What differs from the other variants, in a few words.
        runs: The runs, one for each seed.
    """

    label: str
    runs: tuple[FinishedRun, ...]

    def values(self, metric: str, split: str = "test") -> list[float]:
        """What each run scored; runs without the metric are left out."""
        scores = [run.metrics.get(split, {}).get(metric) for run in self.runs]
        return [float(score) for score in scores if score is not None]

    def summary(self, metric: str, split: str = "test") -> tuple[float, float | None] | None:
        """Mean and deviation over the seeds; None where no run has the metric."""
        values = self.values(metric, split)
        return mean_and_deviation(values) if values else None

    @property
    def representative(self) -> FinishedRun:
        """The run whose sentences stand for the variant: the median by validation.

        Of an even number, the worse of the two in the middle.
        """
        metric = self.runs[0].monitor.removeprefix("val_")
        sign = 1 if metric in LOWER_IS_BETTER else -1

        def rank(run: FinishedRun) -> float:
            return sign * float(run.metrics.get("validation", {}).get(metric, 0.0))

        return sorted(self.runs, key=rank)[len(self.runs) // 2]


def grouped(runs: Sequence[FinishedRun]) -> list[Variant]:
    """Puts runs that differ by their seed only together, in the order of their first runs."""
    groups: dict[str, list[FinishedRun]] = {}
    for run in runs:
        groups.setdefault(json.dumps(run.variant, sort_keys=True), []).append(run)
    differing = config_differences([group[0] for group in groups.values()])
    labels = _labels([group[0] for group in groups.values()], differing)
    return [
        Variant(label, tuple(group)) for label, group in zip(labels, groups.values(), strict=True)
    ]


def config_differences(runs: Sequence[FinishedRun]) -> dict[str, list[str]]:
    """The config keys in which runs differ, apart from the seed.

    Returns:
        Key to each run's value; an empty text where a run does not have the key, or null.
    """
    keys = dict.fromkeys(key for run in runs for key in run.variant)
    table = {key: [run.variant.get(key, "") for run in runs] for key in keys}
    return {key: values for key, values in table.items() if len(set(values)) > 1}


def _labels(runs: Sequence[FinishedRun], differing: Mapping[str, Sequence[str]]) -> list[str]:
    """Names each variant by its values of what differs, or by its folder if that is too long."""
    if len(runs) == 1:
        return [runs[0].name]
    labels = []
    for position, run in enumerate(runs):
        chosen = {key: values[position] for key, values in differing.items()}
        # A class that was swapped says what its arguments only spell out.
        classes = {key: value for key, value in chosen.items() if key.endswith("_target_")}
        text = ", ".join(f"{_short(k)}={_value(k, v)}" for k, v in (classes or chosen).items())
        labels.append(text if 0 < len(text) <= MAX_LABEL else run.name)
    return labels if len(set(labels)) == len(labels) else [run.name for run in runs]


def _value(key: str, value: str) -> str:
    """Returns a value as it is, and a class without its module."""
    return (value.rpartition(".")[2] if key.endswith("_target_") else value) or "none"


def _short(key: str) -> str:
    """`model.attention._target_` is the attention, `model.encoder.units` the encoder's units."""
    parts = key.removesuffix("._target_").split(".")
    return ".".join(parts[-2:]) if len(parts) > 2 and not key.endswith("_target_") else parts[-1]
