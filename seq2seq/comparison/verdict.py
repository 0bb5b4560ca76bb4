"""Says in one sentence which variant of a comparison is best, and how sure that is."""

import math

from seq2seq.comparison.compare import Comparison, PairedComparison
from seq2seq.comparison.forecasts import DIEBOLD_MARIANO
from seq2seq.evaluation.significance import RESAMPLES, TRIALS
from seq2seq.plots.curves import TITLES
from seq2seq.scores import LOWER_IS_BETTER, main_score, number

SIGNIFICANT = 0.05
FEW = 30
"""Below this number of items the bootstrap finds too many differences."""
TESTS = {
    "bootstrap": f"paired bootstrap, {RESAMPLES:,} resamples",
    "randomisation": f"approximate randomisation, {TRIALS:,} trials",
}


def letter(position: int) -> str:
    """Returns the letter of a variant in narrow tables: A, B, ..., Z, A1, B1, ..."""
    return chr(ord("A") + position % 26) + (str(position // 26) if position >= 26 else "")


def best_positions(comparison: Comparison, metric: str) -> list[int]:
    """Returns the positions of the variants with the best mean; empty if all have the same.

    Empty, too, for the coverage of intervals, which is best at its nominal value.
    """
    if metric.startswith("coverage"):
        return []
    summaries = [variant.summary(metric) for variant in comparison.variants]
    means = [math.nan if summary is None else summary[0] for summary in summaries]
    finite = [mean for mean in means if math.isfinite(mean)]
    if not finite or min(finite) == max(finite) == means[0]:
        return []
    best = (min if metric in LOWER_IS_BETTER else max)(finite)
    return [position for position, mean in enumerate(means) if mean == best]


def verdict(comparison: Comparison) -> str:
    """Returns the sentence, such as `B beats A by 1.2 BLEU, p = 0.01 (paired bootstrap, ...)`.

    Of several variants, the best one is compared to the baseline or, if that is the best, the next
    one. A difference with a p-value of 0.05 or more, corrected for the number of variants, counts
    as none.
    """
    metric = main_score(comparison.metrics)
    if metric is None or len(comparison.variants) == 1:
        return ""
    name = TITLES.get(metric, metric.replace("_", " "))
    tests = [test for test in comparison.tests if test.result.metric == metric]
    if not tests:
        return _untested(comparison, metric, name)
    sign = -1 if metric in LOWER_IS_BETTER else 1
    test = max(tests, key=lambda test: sign * test.result.difference)
    labels = [variant.label for variant in comparison.variants]
    system = f"{letter(labels.index(test.variant))} ({test.variant})"
    baseline = f"A ({labels[0]})"
    gain = sign * test.result.difference
    p_value, method = _p_value(test)
    evidence = f"p = {p_value:.2g} ({method}{', Holm-corrected' * (len(tests) > 1)})"
    if p_value >= SIGNIFICANT:
        scores = f"{number(test.result.system)} and {number(test.result.baseline)}"
        first = f"Even the best, {system}," if len(tests) > 1 else system
        result = f"does not differ significantly from {baseline} in {name}"
        return f"{first} {result}: {scores}, {evidence}."
    difference = f"{number(abs(gain))} {name}"
    if gain > 0:
        return f"{system} beats {baseline} by {difference}, {evidence}."
    if len(tests) > 1:
        return f"{baseline} is best: it beats the next, {system}, by {difference}, {evidence}."
    return f"{baseline} beats {system} by {difference}, {evidence}."


def _p_value(test: PairedComparison) -> tuple[float, str]:
    """Returns the corrected p-value of a test, and the test's name.

    Of forecasts, it is that of Diebold and Mariano, since forecasts of a series are not
    independent; of few items, that of the randomisation, which is exact.
    """
    first = (DIEBOLD_MARIANO, *(reversed(TESTS) if test.result.items < FEW else TESTS))
    kind = next(kind for kind in (*first, *test.corrected) if kind in test.corrected)
    return test.corrected[kind], TESTS.get(kind, kind)


def _untested(comparison: Comparison, metric: str, name: str) -> str:
    best = best_positions(comparison, metric)
    if len(best) != 1:
        return f"All variants have the same {name}; it was not tested."
    variant = comparison.variants[best[0]]
    summary = variant.summary(metric)
    assert summary is not None
    return (
        f"{letter(best[0])} ({variant.label}) has the best {name}, {number(summary[0])}; whether "
        "that is chance was not tested."
    )
