"""Compares finished runs: scores, significance tests, scores of parts of the test set, examples."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from seq2seq.comparison.breakdown import (
    Breakdown,
    Difference,
    by_frequency,
    by_length,
    by_step,
    largest_differences,
)
from seq2seq.comparison.finished_run import FinishedRun
from seq2seq.comparison.groups import Variant, config_differences, grouped
from seq2seq.comparison.paired_tests import paired_result
from seq2seq.errors import UserError
from seq2seq.evaluation.significance import PairedResult, holm, welch_p_value
from seq2seq.scores import best_baseline, main_score


@dataclass(frozen=True)
class PairedComparison:
    """The significance tests of one variant against the baseline in one score.

    Attributes:
        variant: The variant's label.
        result: The paired tests of the two representative runs.
        corrected: Name of the test to p-value after Holm's correction over all variants.
        seeds: Welch's p-value between the scores of the seeds; None without several seeds.
    """

    variant: str
    result: PairedResult
    corrected: dict[str, float]
    seeds: float | None


@dataclass(frozen=True)
class Comparison:
    """The result of comparing runs.

    Attributes:
        variants: Runs grouped by config; the first is the baseline.
        differences: Config key to the value of each variant.
        metrics: The test scores that all variants have.
        tests: The significance tests.
        breakdowns: Scores of parts of the test set.
        examples: Variant to the items where it is better, and worse, than the baseline.
        baseline_scores: The test scores of the best baseline method of forecasts, its name as
            `method`; empty without one, or where the runs' test data or season lengths differ.
        notes: Explanations for readers, such as what is missing and why.
    """

    variants: list[Variant]
    differences: dict[str, list[str]]
    metrics: list[str]
    tests: list[PairedComparison] = field(default_factory=list)
    breakdowns: list[Breakdown] = field(default_factory=list)
    examples: dict[str, tuple[list[Difference], list[Difference]]] = field(default_factory=dict)
    baseline_scores: dict[str, Any] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    def _repr_markdown_(self) -> str:
        """Returns what a notebook shows."""
        return str(self)

    def __str__(self) -> str:
        """Returns the tables as Markdown."""
        from seq2seq.comparison.report import markdown

        return markdown(self)

    @property
    def baseline(self) -> Variant:
        """The variant to which the others are compared."""
        return self.variants[0]


def compare(runs: Sequence[FinishedRun]) -> Comparison:
    """Compares variants, groups of runs that differ only in their seed; the first is the baseline.

    Raises:
        UserError: If there are fewer than two runs, or they have no score in common.
    """
    if len(runs) < 2:
        raise UserError(f"compare takes at least two finished runs, got {len(runs)}")
    variants = grouped(runs)
    metrics = _common_metrics(variants)
    comparison = Comparison(variants, config_differences([v.runs[0] for v in variants]), metrics)
    notes = comparison.notes
    if any(run.baselines for run in runs):
        if _same_test(runs):
            comparison.baseline_scores.update(_best_baseline(runs, metrics))
        else:
            notes.append("There are no baselines: the runs' test data or season lengths differ.")
    reason = _why_not_paired(variants)
    if reason:
        notes.append(f"There are no tests, parts of the test set and examples: {reason}.")
    elif len(variants) > 1:
        comparison.tests.extend(_tests(variants, metrics, notes))
        comparison.breakdowns.extend(_breakdowns(variants, notes))
        for variant in variants[1:]:
            pair = comparison.baseline.representative, variant.representative
            comparison.examples[variant.label] = largest_differences(*pair)
    if len(variants) == 1:
        notes.append("The runs differ only in their seed: there is nothing to test.")
    for variant in variants:
        if len({run.seed for run in variant.runs}) < len(variant.runs):
            notes.append(f"{variant.label}: several of its runs have the same seed.")
    without_history = [run.name for run in runs if not run.history]
    if without_history:
        notes.append(f"No learning curve of {', '.join(without_history)}: no history.jsonl.")
    return comparison


def _common_metrics(variants: Sequence[Variant]) -> list[str]:
    runs = [run for variant in variants for run in variant.runs]
    metrics = [m for m in runs[0].metrics["test"] if all(m in r.metrics["test"] for r in runs)]
    if not metrics:
        scores = "; ".join(f"{run.name}: {', '.join(run.metrics['test'])}" for run in runs[:4])
        raise UserError(
            f"The runs have no test score in common ({scores}); compare runs of the same task"
        )
    return metrics


def _same_test(runs: Sequence[FinishedRun]) -> bool:
    """Returns whether the runs' baselines have forecast, and were scored, alike."""
    first = runs[0]
    return bool(first.rows) and all(
        run.test_set == first.test_set and run.season_lengths == first.season_lengths
        for run in runs
    )


def _best_baseline(runs: Sequence[FinishedRun], metrics: Sequence[str]) -> dict[str, Any]:
    """Returns the scores of the baseline method that is best in the main score."""
    methods = {line["method"]: line for run in runs for line in run.baselines}
    best = best_baseline(list(methods.values()), main_score(metrics) or "")
    return {} if best is None else methods[best[0]]


def _why_not_paired(variants: Sequence[Variant]) -> str:
    """Returns why the items of the runs cannot be paired; empty if they can be."""
    first = variants[0].representative
    if len(first.rows) == 1:
        return f"{first.name} has a single test item"
    if not first.rows:
        return f"{first.name} has no predictions/test.jsonl"
    if any("reference" not in row or "prediction" not in row for row in first.rows[:1]):
        return "the predictions of this task have no references"
    for variant in variants[1:]:
        run = variant.representative
        if not run.rows:
            return f"{run.name} has no predictions/test.jsonl"
        if run.test_set != first.test_set:
            same = sum(a == b for a, b in zip(run.test_set, first.test_set, strict=False))
            return (
                f"{run.name} was tested on other data than {first.name} ({len(run.rows):,} and "
                f"{len(first.rows):,} items, {same:,} of them the same), so their scores cannot be "
                "compared either"
            )
    return ""


def _tests(
    variants: Sequence[Variant], metrics: Sequence[str], notes: list[str]
) -> list[PairedComparison]:
    baseline, tests = variants[0], []
    for metric in metrics:
        results = []
        for variant in variants[1:]:
            pair = baseline.representative, variant.representative
            result, reason = paired_result(metric, *pair)
            if result is not None:
                results.append((variant, result))
            elif metric not in ("loss", "perplexity"):
                notes.append(f"No test of {metric} for {variant.label}: it {reason}.")
        names = results[0][1].p_values if results else {}
        corrected = {name: holm([r.p_values[name] for _, r in results]) for name in names}
        for number, (variant, result) in enumerate(results):
            seeds = welch_p_value(baseline.values(metric), variant.values(metric))
            p_values = {name: values[number] for name, values in corrected.items()}
            tests.append(PairedComparison(variant.label, result, p_values, seeds))
    return tests


def _breakdowns(variants: Sequence[Variant], notes: list[str]) -> list[Breakdown]:
    runs = {variant.label: variant.representative for variant in variants}
    if variants[0].representative.kind == "forecast":
        return [by_step(runs)]
    lengths, frequencies = by_length(runs), by_frequency(runs)
    if lengths is None:
        notes.append("No scores by length: all sources have about the same length.")
    return [part for part in (lengths, frequencies) if part is not None and part.parts]
