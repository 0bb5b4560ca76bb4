"""Whether two systems differ on the same test set by more than chance.

Every score here is a function of sums over sentences: n-gram matches for BLEU, hits for accuracy,
true positives for F1. Resampling sentences is then adding other rows of one matrix.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from sacrebleu.metrics.base import Metric
from sacrebleu.significance import PairedTest
from scipy.stats import binomtest, ttest_ind

RESAMPLES = 1000
TRIALS = 10_000
SEED = 12345
"""sacreBLEU's own numbers, so that digits agree."""

FromSums = Callable[[np.ndarray], np.ndarray]
"""Scores from sums of statistics: shape `(samples, statistics)` in, `(samples,)` out."""


@dataclass(frozen=True)
class PairedResult:
    """How a system differs from the baseline in one score, on the same sentences.

    Attributes:
        metric: The score's name.
        baseline: What the baseline scored.
        system: What the system scored.
        low: Lower end of the 95 % confidence interval of the difference: percentiles of the paired
            bootstrap (Efron, 1979; Koehn, 2004).
        high: Its upper end.
        p_values: Name of the test to p-value.
    """

    metric: str
    baseline: float
    system: float
    low: float
    high: float
    p_values: dict[str, float]

    @property
    def difference(self) -> float:
        """System minus baseline."""
        return self.system - self.baseline


def paired_text_test(
    metric_name: str,
    metric: Metric,
    references: Sequence[str],
    baseline: Sequence[str],
    system: Sequence[str],
    resamples: int = RESAMPLES,
    trials: int = TRIALS,
) -> PairedResult:
    """Tests a sacreBLEU metric by sacreBLEU's paired bootstrap and approximate randomisation.

    The p-values are those of `sacrebleu REF -i BASELINE SYSTEM --paired-bs` and `--paired-ar`.

    Args:
        metric_name: What the result is called.
        metric: A sacreBLEU metric.
        references: One for each sentence.
        baseline: The baseline's hypotheses.
        system: The system's.
        resamples: Samples of the bootstrap.
        trials: Trials of the randomisation.
    """
    systems: list[tuple[str, Sequence[str]]] = [("baseline", baseline), ("system", system)]
    p_values, scores = {}, [0.0, 0.0]
    for name, kind, samples in (("bootstrap", "bs", resamples), ("randomisation", "ar", trials)):
        test = PairedTest(systems, {metric_name: metric}, [list(references)], kind, samples)
        results: list[Any] = next(v for k, v in test()[1].items() if k != "System")
        p_values[name] = float(results[1].p_value)
        scores = [float(result.score) for result in results]

    def from_sums(sums: np.ndarray) -> np.ndarray:
        return np.array([metric._compute_score_from_stats(row.tolist()).score for row in sums])

    one, other = (
        np.array(metric._extract_corpus_statistics(texts, [list(references)]), np.float64)
        for _, texts in systems
    )
    low, high = _percentiles(_bootstrap(one, other, from_sums, resamples))
    return PairedResult(metric_name, scores[0], scores[1], low, high, p_values)


def paired_test(
    metric: str,
    baseline: np.ndarray,
    system: np.ndarray,
    from_sums: FromSums,
    resamples: int = RESAMPLES,
    trials: int = TRIALS,
) -> PairedResult:
    """Tests any score of sums by the paired bootstrap and approximate randomisation.

    Args:
        metric: What the result is called.
        baseline: The baseline's statistics, shape `(sentences, statistics)`.
        system: The system's.
        from_sums: The score of summed statistics.
        resamples: Samples of the bootstrap.
        trials: Trials of the randomisation.

    Raises:
        ValueError: If the shapes differ.
    """
    if baseline.shape != system.shape:
        raise ValueError(f"system: must have shape {baseline.shape}, got {system.shape}")
    one, other = (float(from_sums(each.sum(0)[None])[0]) for each in (baseline, system))
    observed = abs(other - one)
    differences = _bootstrap(baseline, system, from_sums, resamples)
    centred = np.abs(differences - differences.mean())  # as if there were no difference
    swaps = np.random.default_rng(SEED).integers(2, size=(trials, len(baseline)), dtype=bool)
    moved = swaps.astype(np.float64) @ (system - baseline)
    shuffled = from_sums(baseline.sum(0) + moved) - from_sums(system.sum(0) - moved)
    p_values = {
        "bootstrap": _tail(centred, observed),
        "randomisation": _tail(np.abs(shuffled), observed),
    }
    low, high = _percentiles(differences)
    return PairedResult(metric, one, other, low, high, p_values)


def mcnemar(baseline: np.ndarray, system: np.ndarray) -> float:
    """The exact p-value of McNemar's test.

    Args:
        baseline: Whether the baseline is right, shape `(items,)`.
        system: Whether the system is.

    Returns:
        The probability, if both were equally good, of at least so uneven a split of the items that
        only one of them gets right (McNemar, 1947, with the binomial distribution).
    """
    only_baseline = int(np.sum(baseline & ~system))
    only_system = int(np.sum(system & ~baseline))
    if only_baseline + only_system == 0:
        return 1.0
    return float(binomtest(only_system, only_baseline + only_system).pvalue)


def accuracy_test(baseline: np.ndarray, system: np.ndarray, metric: str) -> PairedResult:
    """Tests the share of items that are right: McNemar's exact test beside the resampling.

    Args:
        baseline: Whether the baseline is right, shape `(items,)`.
        system: Whether the system is.
        metric: What the result is called.
    """
    items = len(baseline)
    one, other = (each.astype(np.float64)[:, None] for each in (baseline, system))
    result = paired_test(metric, one, other, lambda sums: sums[:, 0] / items)
    p_values = {"mcnemar": mcnemar(baseline, system), **result.p_values}
    return PairedResult(metric, result.baseline, result.system, result.low, result.high, p_values)


def welch_p_value(baseline: Sequence[float], system: Sequence[float]) -> float | None:
    """The p-value of Welch's t-test between the scores of several seeds.

    Returns:
        None where a side has fewer than two seeds, or no score varies.
    """
    if min(len(baseline), len(system)) < 2:
        return None
    if np.ptp(baseline) == 0 and np.ptp(system) == 0:
        return None
    return float(ttest_ind(system, baseline, equal_var=False).pvalue)


def holm(p_values: Sequence[float]) -> list[float]:
    """Corrects p-values for their number, after Holm (1979).

    Example:
        >>> holm([0.01, 0.04])
        [0.02, 0.04]

    Args:
        p_values: One for each comparison.

    Returns:
        The corrected ones, in the same order: below a level where the chance of even one wrong
        finding among all stays below it.
    """
    order = np.argsort(p_values)
    corrected = [0.0] * len(p_values)
    largest = 0.0
    for rank, position in enumerate(order):
        largest = max(largest, min(1.0, (len(p_values) - rank) * p_values[position]))
        corrected[position] = largest
    return corrected


def mean_and_deviation(values: Sequence[float]) -> tuple[float, float | None]:
    """The mean and the sample standard deviation, None for a single value."""
    mean = float(np.mean(values))
    return mean, float(np.std(values, ddof=1)) if len(values) > 1 else None


def _bootstrap(
    baseline: np.ndarray, system: np.ndarray, from_sums: FromSums, resamples: int
) -> np.ndarray:
    """Differences of the scores on resampled sentences, shape `(resamples,)`."""
    sentences = len(baseline)
    drawn = np.random.default_rng(SEED).choice(sentences, (resamples, sentences), replace=True)
    counts = np.stack([np.bincount(row, minlength=sentences) for row in drawn]).astype(np.float64)
    return np.asarray(from_sums(counts @ system) - from_sums(counts @ baseline))


def _percentiles(differences: np.ndarray) -> tuple[float, float]:
    low, high = np.percentile(differences[np.isfinite(differences)], [2.5, 97.5])
    return float(low), float(high)


def _tail(statistics: np.ndarray, observed: float) -> float:
    """The share of statistics as large as what was observed, which itself counts as one."""
    # Sums in another order differ by rounding: that is no difference.
    as_large = statistics >= observed - 1e-12 * max(1.0, observed)
    return float((as_large.sum() + 1) / (len(statistics) + 1))
