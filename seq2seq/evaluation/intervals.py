"""Confidence intervals of a run's scores, by resampling its test items."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from seq2seq.evaluation.item_statistics import SCORES, statistics_matrices
from seq2seq.evaluation.text import SACREBLEU_METRICS, reference_streams
from seq2seq.prediction_rows import references_of
from seq2seq.private_api import sacrebleu_score, sacrebleu_statistics

RESAMPLES, SEED = 1000, 12345
CHUNK = 50
"""Samples drawn at once."""
PERCENTILES = (2.5, 97.5)

Interval = tuple[float, float]


def score_intervals(
    statistics: Sequence[Mapping[str, Any]], names: Iterable[str]
) -> dict[str, Interval]:
    """Returns 95 % bootstrap intervals of scores (Efron and Tibshirani, 1993).

    Args:
        statistics: Statistics of each test item, see `item_statistics`.
        names: The names of the scores; those without statistics get no interval.
    """
    intervals = {}
    for name in names:
        statistic, from_sums = SCORES.get(name, ("", None))
        if from_sums is None or not statistics or statistic not in statistics[0]:
            continue
        [matrix] = statistics_matrices(statistic, statistics)
        scores = np.concatenate([from_sums(sums) for sums in _resampled_sums(matrix)])
        intervals[name] = _percentiles(scores)
    return intervals


def text_intervals(
    rows: Sequence[Mapping[str, Any]], names: Iterable[str], bleu_tokenize: str
) -> dict[str, Interval]:
    """Returns 95 % bootstrap intervals of sacreBLEU's scores of predictions.

    Args:
        rows: Rows with `prediction` and `reference`, or `references`.
        names: The names of the scores; those that are not sacreBLEU's get no interval.
        bleu_tokenize: sacreBLEU's tokenizer.
    """
    predictions = [str(row["prediction"]) for row in rows]
    references = reference_streams([references_of(row) for row in rows])
    intervals = {}
    for name in names:
        if name not in SACREBLEU_METRICS:
            continue
        metric = SACREBLEU_METRICS[name](bleu_tokenize, False)
        matrix = np.array(sacrebleu_statistics(metric, predictions, references), np.float64)
        scores = [
            sacrebleu_score(metric, row.tolist())
            for sums in _resampled_sums(matrix)
            for row in sums
        ]
        intervals[name] = _percentiles(np.array(scores))
    return intervals


def _resampled_sums(matrix: np.ndarray) -> Iterator[np.ndarray]:
    """Yields sums of resampled items, `(CHUNK, statistics)`, of a matrix `(items, statistics)`."""
    items, generator = len(matrix), np.random.default_rng(SEED)
    for _ in range(RESAMPLES // CHUNK):
        samples = generator.integers(items, size=(CHUNK, items))
        counts = np.stack([np.bincount(sample, minlength=items) for sample in samples])
        yield counts.astype(np.float64) @ matrix


def _percentiles(scores: np.ndarray) -> Interval:
    low, high = np.percentile(scores[np.isfinite(scores)], PERCENTILES)
    return float(low), float(high)
