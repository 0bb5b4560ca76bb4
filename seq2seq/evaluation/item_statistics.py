"""Statistics of single test items whose sums determine a score.

An evaluation saves them beside its predictions, so that comparing two runs can resample the items:
the definition of a score stands here alone.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from seq2seq.evaluation.error_rates import ERROR_RATES, word_errors
from seq2seq.evaluation.forecasting import FORECAST_SCORES
from seq2seq.evaluation.significance import FromSums
from seq2seq.evaluation.tagging import seqeval_scheme
from seq2seq.prediction_rows import kind_of, labels_of, references_of

Statistics = dict[str, list[float] | dict[str, list[float]]]
"""Statistics of one item by name; those of single labels by label."""


def item_statistics(
    rows: Sequence[Mapping[str, Any]],
    scheme: str | None = None,
    known: Sequence[Sequence[bool]] | None = None,
    metrics: Sequence[str] = (),
) -> list[Statistics]:
    """Returns the statistics of each row that has a reference.

    Args:
        rows: Rows of one type, see `seq2seq.prediction_rows`.
        scheme: The span scheme of tags: `IOB1`, `IOB2`, `BIOES`, or None.
        known: Whether each token of each row occurs in training, for `accuracy_unknown`.
        metrics: The scores of texts, of which error rates have statistics.

    Returns:
        For texts `exact_match`, and errors and units of each error rate; for tags `accuracy`,
        `accuracy_unknown`, and with a scheme `spans` and `strict_spans`: numbers of right and of
        all; of right, predicted and true spans. For classes `accuracy` and `labels`: right,
        predicted and true of each label.
    """
    match kind_of(rows[0]) if rows else "text":
        case "text":
            error_rates = [name for name in metrics if name in ERROR_RATES]
            return [_text_statistics(row, error_rates) for row in rows]
        case "tags":
            tagged = [_tag_statistics(*labels_of(row), scheme) for row in rows]
            for row, statistics, is_known in zip(rows, tagged, known or [], strict=bool(known)):
                right = [a == b for a, b in zip(*labels_of(row), strict=True)]
                unknown = [hit for hit, seen in zip(right, is_known, strict=True) if not seen]
                statistics["accuracy_unknown"] = [sum(unknown), len(unknown)]
            return tagged
    return [_label_statistics(*labels_of(row)) for row in rows]


def _text_statistics(row: Mapping[str, Any], error_rates: Sequence[str]) -> Statistics:
    texts = row["prediction"], references_of(row)
    wrong, _ = word_errors(*texts)
    statistics: Statistics = {"exact_match": [1 - wrong, 1]}
    return statistics | {name: list(ERROR_RATES[name](*texts)) for name in error_rates}


def _tag_statistics(true: list[str], predicted: list[str], scheme: str | None) -> Statistics:
    right = sum(a == b for a, b in zip(true, predicted, strict=True))
    statistics: Statistics = {"accuracy": [right, len(true)]}
    if scheme is not None:
        for name, strict in (("spans", None), ("strict_spans", scheme)):
            spans, predicted_spans = _spans(true, strict), _spans(predicted, strict)
            statistics[name] = [len(spans & predicted_spans), len(predicted_spans), len(spans)]
    return statistics


def _spans(labels: list[str], scheme: str | None) -> set[object]:
    """Returns the spans of labels; without a scheme, invalid sequences are read as by conlleval."""
    # Imports scikit-learn, for a second.
    from seqeval.metrics.sequence_labeling import get_entities
    from seqeval.scheme import Entities

    if scheme is None:
        return set(get_entities(labels))
    [entities] = Entities([labels], seqeval_scheme(scheme)).entities
    return {(entity.tag, entity.start, entity.end) for entity in entities}


def _label_statistics(true: list[str], predicted: list[str]) -> Statistics:
    counts = (Counter({*true} & {*predicted}), Counter(predicted), Counter(true))
    names = sorted({*true, *predicted})
    by_label = {name: [float(count[name]) for count in counts] for name in names}
    return {"accuracy": [float({*true} == {*predicted}), 1], "labels": by_label}


def statistics_matrices(
    statistic: str, *runs: Sequence[Mapping[str, Any]]
) -> tuple[np.ndarray, ...]:
    """Returns a statistic of all items of each run, float64 `(items, statistics)`.

    Those of labels have three blocks of columns, `3 * labels`, for the labels of all runs.

    Raises:
        KeyError: If an item does not have the statistic.
    """
    values = [[item[statistic] for item in run] for run in runs]
    if not any(isinstance(value, Mapping) for value in values[0][:1]):
        return tuple(np.array(rows, np.float64) for rows in values)
    labels = sorted({label for rows in values for row in rows for label in row})
    column = {label: number for number, label in enumerate(labels)}
    matrices = [np.zeros((len(rows), 3, len(labels))) for rows in values]
    for matrix, rows in zip(matrices, values, strict=True):
        for number, row in enumerate(rows):
            for label, counts in row.items():
                matrix[number, :, column[label]] = counts
    return tuple(matrix.reshape(len(matrix), -1) for matrix in matrices)


def _ratio(numerator: np.ndarray, denominator: np.ndarray) -> np.ndarray:
    return numerator / np.where(denominator == 0, 1, denominator)


def _share(sums: np.ndarray) -> np.ndarray:
    return _ratio(sums[:, 0], sums[:, 1])


def _precision(sums: np.ndarray) -> np.ndarray:
    return _ratio(sums[:, 0], sums[:, 1])


def _recall(sums: np.ndarray) -> np.ndarray:
    return _ratio(sums[:, 0], sums[:, 2])


def _f1(sums: np.ndarray) -> np.ndarray:
    return _ratio(2 * sums[:, 0], sums[:, 1] + sums[:, 2])


def _by_label(sums: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Returns the F1 of each label, its support, and whether it occurs; `(samples, labels)`."""
    right, predicted, true = np.moveaxis(sums.reshape(len(sums), 3, -1), 1, 0)
    return _ratio(2 * right, predicted + true), true, predicted + true > 0


def _macro_f1(sums: np.ndarray) -> np.ndarray:
    f1, _, occurs = _by_label(sums)
    return np.asarray(f1.sum(1) / occurs.sum(1))


def _weighted_f1(sums: np.ndarray) -> np.ndarray:
    f1, support, _ = _by_label(sums)
    return np.asarray((f1 * support).sum(1) / support.sum(1))


def _micro_f1(sums: np.ndarray) -> np.ndarray:
    return _f1(sums.reshape(len(sums), 3, -1).sum(2))


SCORES: dict[str, tuple[str, FromSums]] = {
    "accuracy": ("accuracy", _share),
    "accuracy_unknown": ("accuracy_unknown", _share),
    "exact_match": ("exact_match", _share),
    **{name: (name, _share) for name in ERROR_RATES},
    "f1_macro": ("labels", _macro_f1),
    "f1_micro": ("labels", _micro_f1),
    "f1_weighted": ("labels", _weighted_f1),
    **{
        prefix + name: (f"{prefix}spans", from_sums)
        for prefix in ("", "strict_")
        for name, from_sums in (("precision", _precision), ("recall", _recall), ("f1", _f1))
    },
    **FORECAST_SCORES,
}
"""The statistic of each score, and how the score follows from its sums."""
