"""The scores of a run again, from its predictions: what can be resampled."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from sacrebleu.metrics import BLEU, CHRF, TER
from sacrebleu.metrics.base import Metric
from seqeval.metrics.sequence_labeling import get_entities
from seqeval.scheme import Entities

from seq2seq.comparison.runs import FinishedRun, Row
from seq2seq.evaluation.significance import (
    FromSums,
    PairedResult,
    accuracy_test,
    paired_test,
    paired_text_test,
)
from seq2seq.evaluation.tagging import SEQEVAL_SCHEMES

TEXT_METRICS: dict[str, Callable[[str], Metric]] = {
    # `force` keeps sacreBLEU silent where the text is tokenized on purpose.
    "bleu": lambda tokenize: BLEU(tokenize=tokenize, force=True),
    "chrf": lambda tokenize: CHRF(),
    "chrf++": lambda tokenize: CHRF(word_order=2),
    "ter": lambda tokenize: TER(),
}
TOLERANCE = 1e-6


@dataclass(frozen=True)
class Sums:
    """Statistics of each test item whose sum determines a score.

    Attributes:
        name: How the score is computed.
        statistics: Shape `(items, statistics)`.
        from_sums: The score of summed statistics.
    """

    name: str
    statistics: np.ndarray
    from_sums: FromSums

    @property
    def score(self) -> float:
        """The score of all items."""
        return float(self.from_sums(self.statistics.sum(0)[None])[0])


def paired_result(
    metric: str, baseline: FinishedRun, system: FinishedRun
) -> tuple[PairedResult | None, str]:
    """Tests whether two runs on the same test set differ in a score.

    Args:
        metric: The score's name in `metrics.json`.
        baseline: One run.
        system: The other.

    Returns:
        The result, or None and the reason why there is none.
    """
    if metric in ("loss", "perplexity"):
        return None, "is no score of predictions"
    if metric in TEXT_METRICS:
        return _test_text(metric, baseline, system)
    if metric == "exact_match" or (metric == "accuracy" and baseline.kind != "tags"):
        hits = [_hits(run.rows) for run in (baseline, system)]
        return _checked(accuracy_test(hits[0], hits[1], metric), baseline, system)
    make = _maker(metric, baseline)
    if make is None:
        return None, "is not known how to compute from the predictions"
    labels = _labels([baseline.rows, system.rows])
    sums = [make(run.rows, labels) for run in (baseline, system)]
    result = paired_test(metric, sums[0].statistics, sums[1].statistics, sums[0].from_sums)
    return _checked(result, baseline, system)


def _maker(metric: str, run: FinishedRun) -> Callable[[Sequence[Row], list[str]], Sums] | None:
    """Returns what makes the statistics of a score of labels."""
    if run.kind != "tags":
        makers = {"f1_macro": _macro_f1, "f1_weighted": _weighted_f1, "f1_micro": _label_micro_f1}
        return makers.get(metric)
    if metric == "accuracy":
        return _token_accuracy
    kind = metric.removeprefix("strict_")
    if kind not in SPANS:
        return None
    scheme = run.config.get("task.scheme", "") if kind != metric else None
    return lambda rows, labels: _span_score(kind, scheme, rows)


def _test_text(
    metric: str, baseline: FinishedRun, system: FinishedRun
) -> tuple[PairedResult | None, str]:
    signatures = [run.metrics.get("signatures", {}).get(metric) for run in (baseline, system)]
    if signatures[0] != signatures[1]:
        return None, f"was computed in two ways: {signatures[0]} and {signatures[1]}"
    tokenize = baseline.config.get("task.bleu_tokenize", "13a")
    result = paired_text_test(
        metric,
        TEXT_METRICS[metric](tokenize),
        [str(row["reference"]) for row in baseline.rows],
        [str(row["prediction"]) for row in baseline.rows],
        [str(row["prediction"]) for row in system.rows],
    )
    return _checked(result, baseline, system)


def _checked(
    result: PairedResult, baseline: FinishedRun, system: FinishedRun
) -> tuple[PairedResult | None, str]:
    """Lets a result pass only if it is about the scores that the runs have reported."""
    for score, run in ((result.baseline, baseline), (result.system, system)):
        reported = run.metrics["test"][result.metric]
        if not _close(score, reported):
            return None, f"is {reported:.6g} in {run.name} but {score:.6g} by its predictions"
    return result, ""


def _close(score: float, reported: float) -> bool:
    return bool(np.isclose(score, reported, rtol=TOLERANCE, atol=TOLERANCE))


def _hits(rows: Sequence[Row]) -> np.ndarray:
    """Whether each prediction is the reference, shape `(items,)`."""
    return np.array([_plain(row["prediction"]) == _plain(row["reference"]) for row in rows])


def _plain(value: object) -> object:
    return value.strip() if isinstance(value, str) else value


def _labels(runs: Sequence[Sequence[Row]]) -> list[str]:
    found: set[str] = set()
    for rows in runs:
        for row in rows:
            for value in (row["reference"], row["prediction"]):
                found.update(value if isinstance(value, list) else [str(value)])
    return sorted(found)


def _token_accuracy(rows: Sequence[Row], labels: list[str]) -> Sums:
    statistics = [
        [sum(map(_equal, row["reference"], row["prediction"])), len(row["reference"])]
        for row in rows
    ]
    return Sums("tokens", np.array(statistics, float), lambda sums: sums[:, 0] / sums[:, 1])


def _equal(one: object, other: object) -> bool:
    return one == other


def _span_score(kind: str, scheme: str | None, rows: Sequence[Row]) -> Sums:
    """Spans with the right borders and type, over the whole corpus.

    Args:
        kind: A key of `SPANS`.
        scheme: Counts only what follows this scheme; None reads broken sequences as CoNLL's script.
        rows: The predictions.
    """
    statistics = []
    for row in rows:
        guess, true = (_spans(row[name], scheme) for name in ("prediction", "reference"))
        statistics.append([len(guess & true), len(guess), len(true)])
    return Sums("spans", np.array(statistics, float), SPANS[kind])


def _spans(labels: list[str], scheme: str | None) -> set[object]:
    if scheme is None:
        return set(get_entities(labels))
    [entities] = Entities([labels], SEQEVAL_SCHEMES[scheme]).entities
    return {(entity.tag, entity.start, entity.end) for entity in entities}


def _share(right: np.ndarray, total: np.ndarray) -> np.ndarray:
    return right / np.where(total == 0, 1, total)


def _micro_f1(sums: np.ndarray) -> np.ndarray:
    return _share(2 * sums[:, 0], sums[:, 1] + sums[:, 2])


SPANS: dict[str, FromSums] = {
    "precision": lambda sums: _share(sums[:, 0], sums[:, 1]),
    "recall": lambda sums: _share(sums[:, 0], sums[:, 2]),
    "f1": _micro_f1,
}
"""Scores of the numbers of right, predicted and true spans."""


def _counts(rows: Sequence[Row], labels: list[str]) -> np.ndarray:
    """True positives, predicted and true items of each label, shape `(items, 3 * labels)`."""
    numbers = {label: number for number, label in enumerate(labels)}
    statistics = np.zeros((len(rows), 3, len(labels)))
    for position, row in enumerate(rows):
        predicted, true = row["prediction"], row["reference"]
        if not isinstance(true, list):
            predicted, true = [str(predicted)], [str(true)]
        right = list(set(predicted) & set(true))
        for part, found in enumerate((right, predicted, true)):
            for label in found:
                statistics[position, part, numbers[label]] += 1
    return statistics.reshape(len(rows), -1)


def _by_label(sums: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The F1 of each label, its support, and whether it occurs; each `(samples, labels)`."""
    parts = sums.reshape(len(sums), 3, -1)
    total = parts[:, 1] + parts[:, 2]
    return _share(2 * parts[:, 0], total), parts[:, 2], total > 0


def _macro(sums: np.ndarray) -> np.ndarray:
    f1, _, occurs = _by_label(sums)
    return np.asarray(f1.sum(1) / occurs.sum(1))


def _weighted(sums: np.ndarray) -> np.ndarray:
    f1, support, _ = _by_label(sums)
    return np.asarray((f1 * support).sum(1) / support.sum(1))


def _macro_f1(rows: Sequence[Row], labels: list[str]) -> Sums:
    return Sums("mean over labels", _counts(rows, labels), _macro)


def _weighted_f1(rows: Sequence[Row], labels: list[str]) -> Sums:
    return Sums("mean over labels by support", _counts(rows, labels), _weighted)


def _label_micro_f1(rows: Sequence[Row], labels: list[str]) -> Sums:
    counts = _counts(rows, labels).reshape(len(rows), 3, -1).sum(2)
    return Sums("all labels", counts, _micro_f1)
