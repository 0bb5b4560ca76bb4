"""Significance tests of the difference between two systems on the same test set.

Every score here is a function of sums over sentences: n-gram matches for BLEU, hits for accuracy,
true positives for F1. Resampling sentences is then one matrix product, which is why these tests do
not use `scipy.stats.bootstrap` and `permutation_test`.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from sacrebleu.metrics.base import Metric
from sacrebleu.significance import PairedTest

from seq2seq.evaluation.text import reference_streams
from seq2seq.private_api import sacrebleu_score, sacrebleu_statistics

RESAMPLES = 1000
TRIALS = 10_000
SEED = 12345
"""sacreBLEU's own numbers, so that results are identical."""

FromSums = Callable[[np.ndarray], np.ndarray]
"""Computes scores `(samples,)` from sums of statistics `(samples, statistics)`."""


@dataclass(frozen=True)
class PairedResult:
    """The difference between a system and the baseline in one score, on the same sentences.

    Attributes:
        low: Lower bound of the 95 % confidence interval of the difference: percentiles of the
            paired bootstrap (Efron, 1979; Koehn, 2004).
        high: Its upper bound.
        p_values: Name of the test to p-value.
        items: The number of sentences.
    """

    metric: str
    baseline: float
    system: float
    low: float
    high: float
    p_values: dict[str, float]
    items: int

    @property
    def difference(self) -> float:
        """System minus baseline."""
        return self.system - self.baseline


def paired_text_test(
    metric_name: str,
    metric: Metric,
    references: Sequence[Sequence[str]],
    baseline: Sequence[str],
    system: Sequence[str],
    resamples: int = RESAMPLES,
    trials: int = TRIALS,
) -> PairedResult:
    """Tests a sacreBLEU metric by sacreBLEU's paired bootstrap and approximate randomisation.

    The p-values are those of `sacrebleu REF -i BASELINE SYSTEM --paired-bs` and `--paired-ar`.
    `baseline` and `system` are hypotheses, with one or more references for each.
    """
    systems: list[tuple[str, Sequence[str]]] = [("baseline", baseline), ("system", system)]
    streams, p_values, scores = reference_streams(references), {}, [0.0, 0.0]
    for name, kind, samples in (("bootstrap", "bs", resamples), ("randomisation", "ar", trials)):
        test = PairedTest(systems, {metric_name: metric}, streams, kind, samples)
        results: list[Any] = next(v for k, v in test()[1].items() if k != "System")
        p_values[name] = float(results[1].p_value)
        scores = [float(result.score) for result in results]

    def from_sums(sums: np.ndarray) -> np.ndarray:
        return np.array([sacrebleu_score(metric, row.tolist()) for row in sums])

    baseline_statistics, system_statistics = (
        np.array(sacrebleu_statistics(metric, texts, streams), np.float64) for _, texts in systems
    )
    differences = _bootstrap(baseline_statistics, system_statistics, from_sums, resamples)
    low, high = _confidence_interval(differences)
    return PairedResult(metric_name, scores[0], scores[1], low, high, p_values, len(baseline))


def paired_test(
    metric: str,
    baseline: np.ndarray,
    system: np.ndarray,
    from_sums: FromSums,
    resamples: int = RESAMPLES,
    trials: int = TRIALS,
) -> PairedResult:
    """Tests any score of sums by the paired bootstrap and approximate randomisation.

    `baseline` and `system` are statistics, `(sentences, statistics)`.

    Raises:
        ValueError: If the shapes differ.
    """
    if baseline.shape != system.shape:
        raise ValueError(f"system: must have shape {baseline.shape}, got {system.shape}")
    baseline_score, system_score = (
        float(from_sums(rows.sum(0)[None])[0]) for rows in (baseline, system)
    )
    observed = abs(system_score - baseline_score)
    differences = _bootstrap(baseline, system, from_sums, resamples)
    centred = np.abs(differences - differences.mean())  # as if there were no difference
    swaps = np.random.default_rng(SEED).integers(2, size=(trials, len(baseline)), dtype=bool)
    swapped = swaps.astype(np.float64) @ (system - baseline)
    shuffled = from_sums(baseline.sum(0) + swapped) - from_sums(system.sum(0) - swapped)
    p_values = {
        "bootstrap": _tail(centred, observed),
        "randomisation": _tail(np.abs(shuffled), observed),
    }
    low, high = _confidence_interval(differences)
    return PairedResult(metric, baseline_score, system_score, low, high, p_values, len(baseline))


def mcnemar(baseline: np.ndarray, system: np.ndarray) -> float:
    """Returns the exact (binomial) p-value of McNemar's test (1947).

    `baseline` and `system` are whether each item is correct, `(items,)`.
    """
    only_baseline = int(np.sum(baseline & ~system))
    only_system = int(np.sum(system & ~baseline))
    if only_baseline + only_system == 0:
        return 1.0
    from scipy.stats import binomtest  # takes half a second

    return float(binomtest(only_system, only_baseline + only_system).pvalue)


def accuracy_test(baseline: np.ndarray, system: np.ndarray, metric: str) -> PairedResult:
    """Tests the share of correct items by McNemar's exact test and by resampling.

    `baseline` and `system` are whether each item is correct, `(items,)`.
    """
    items = len(baseline)
    columns = [correct.astype(np.float64)[:, None] for correct in (baseline, system)]
    result = paired_test(metric, columns[0], columns[1], lambda sums: sums[:, 0] / items)
    return replace(result, p_values={"mcnemar": mcnemar(baseline, system), **result.p_values})


def welch_p_value(baseline: Sequence[float], system: Sequence[float]) -> float | None:
    """Returns the p-value of Welch's t-test between the scores of several seeds.

    It is None if a side has fewer than two seeds, or no score varies.
    """
    if min(len(baseline), len(system)) < 2:
        return None
    if np.ptp(baseline) == 0 and np.ptp(system) == 0:
        return None
    from scipy.stats import ttest_ind  # takes half a second

    return float(ttest_ind(system, baseline, equal_var=False).pvalue)


def holm(p_values: Sequence[float]) -> list[float]:
    """Corrects p-values for multiple comparisons (Holm, 1979), which SciPy does not offer.

    Example:
        >>> holm([0.01, 0.04])
        [0.02, 0.04]
    """
    corrected = [0.0] * len(p_values)
    largest = 0.0
    for rank, position in enumerate(np.argsort(p_values)):
        largest = max(largest, min(1.0, (len(p_values) - rank) * p_values[position]))
        corrected[position] = largest
    return corrected


def mean_and_deviation(values: Sequence[float]) -> tuple[float, float | None]:
    """Returns the mean and the sample standard deviation, which is None for a single value."""
    mean = float(np.mean(values))
    return mean, float(np.std(values, ddof=1)) if len(values) > 1 else None


def _bootstrap(
    baseline: np.ndarray, system: np.ndarray, from_sums: FromSums, resamples: int
) -> np.ndarray:
    """Returns the differences of the scores on resampled sentences, `(resamples,)`."""
    sentences = len(baseline)
    samples = np.random.default_rng(SEED).choice(sentences, (resamples, sentences), replace=True)
    counts = np.stack([np.bincount(row, minlength=sentences) for row in samples]).astype(np.float64)
    return np.asarray(from_sums(counts @ system) - from_sums(counts @ baseline))


def _confidence_interval(differences: np.ndarray) -> tuple[float, float]:
    low, high = np.percentile(differences[np.isfinite(differences)], [2.5, 97.5])
    return float(low), float(high)


def _tail(statistics: np.ndarray, observed: float) -> float:
    """Returns the share of statistics at least as large as the observed one, which is included."""
    # Sums in another order may differ by rounding errors.
    as_large = statistics >= observed - 1e-12 * max(1.0, observed)
    return float((as_large.sum() + 1) / (len(statistics) + 1))
