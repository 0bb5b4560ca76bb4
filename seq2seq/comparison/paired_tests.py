"""Paired significance tests of two runs on the same test set, from their saved statistics."""

from dataclasses import replace

import numpy as np

from seq2seq.comparison.finished_run import FinishedRun
from seq2seq.comparison.forecasts import DIEBOLD_MARIANO, diebold_mariano_p_value
from seq2seq.evaluation.item_statistics import SCORES, statistics_matrices
from seq2seq.evaluation.significance import (
    PairedResult,
    accuracy_test,
    paired_test,
    paired_text_test,
)
from seq2seq.evaluation.text import SACREBLEU_METRICS
from seq2seq.prediction_rows import references_of

TOLERANCE = 1e-6

SCALED = ("mase", "rmsse")
"""Scores whose unit is the error of the seasonal naive forecast of the history."""


def paired_result(
    metric: str, baseline: FinishedRun, system: FinishedRun
) -> tuple[PairedResult | None, str]:
    """Tests whether two runs on the same test set differ in a score.

    Args:
        metric: The score's name in `metrics.json`.
        baseline: The run to compare to.
        system: The other run.

    Returns:
        The result and an empty string, or None and the reason.
    """
    if metric in ("loss", "perplexity"):
        return None, "is not a score of predictions"
    if metric in SCALED and baseline.season_lengths != system.season_lengths:
        return None, "was scaled by seasons of other lengths (task.season_length)"
    if metric in SACREBLEU_METRICS:
        return _test_text(metric, baseline, system)
    try:
        statistic, from_sums = SCORES[metric]
        first, second = statistics_matrices(statistic, baseline.statistics, system.statistics)
    except KeyError:
        return None, "cannot be computed from the predictions"
    both = np.concatenate([first, second])
    if both.shape[1] == 2 and (both[:, 1] == 1).all() and np.isin(both[:, 0], (0, 1)).all():
        result = accuracy_test(first[:, 0] == 1, second[:, 0] == 1, metric)
    else:
        result = paired_test(metric, first, second, from_sums)
    if baseline.kind == "forecast":
        p_value = diebold_mariano_p_value(metric, baseline, system)
        if p_value is not None:
            result = replace(result, p_values={**result.p_values, DIEBOLD_MARIANO: p_value})
    return _checked(result, baseline, system)


def _test_text(
    metric: str, baseline: FinishedRun, system: FinishedRun
) -> tuple[PairedResult | None, str]:
    signatures = [run.metrics.get("signatures", {}).get(metric) for run in (baseline, system)]
    if signatures[0] != signatures[1]:
        return None, f"was computed in different ways: {signatures[0]} and {signatures[1]}"
    tokenize = baseline.config.get("task.bleu_tokenize", "13a")
    result = paired_text_test(
        metric,
        SACREBLEU_METRICS[metric](tokenize, False),
        [references_of(row) for row in baseline.rows],
        [row["prediction"] for row in baseline.rows],
        [row["prediction"] for row in system.rows],
    )
    return _checked(result, baseline, system)


def _checked(
    result: PairedResult, baseline: FinishedRun, system: FinishedRun
) -> tuple[PairedResult | None, str]:
    """Returns the result if its scores equal those in `metrics.json`; otherwise the reason."""
    for score, run in ((result.baseline, baseline), (result.system, system)):
        reported = run.metrics["test"][result.metric]
        if not np.isclose(score, reported, rtol=TOLERANCE, atol=TOLERANCE):
            return None, f"is {reported:.6g} in {run.name} but {score:.6g} by its predictions"
    return result, ""
