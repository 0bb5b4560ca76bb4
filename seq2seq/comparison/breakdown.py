"""Scores by source length and by word frequency, and the items with the largest differences."""

import math
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import count, islice
from typing import Any

import numpy as np
from sacrebleu.metrics import CHRF

from seq2seq.comparison.finished_run import FinishedRun
from seq2seq.comparison.forecasts import described, errors_by_step
from seq2seq.config import build
from seq2seq.data.labels.class_labels import ClassLabels
from seq2seq.errors import UserError
from seq2seq.evaluation.text import score_texts
from seq2seq.prediction_rows import Kind, kind_of, labels_of, reference_text, references_of
from seq2seq.trust import load_saved

MAX_LENGTH_BINS = 8
LENGTH_STEPS = (1, 2, 5)
"""Widths of bins of lengths, beside ten, a hundred, ... times them."""
FREQUENCIES = ((0, 0), (1, 4), (5, 19), (20, 99), (100, 999), (1000, None))
TRAINING_RECORDS = 200_000
MINIMUM_BUCKET_SIZE = 5
EXAMPLES = 5

Row = Mapping[str, Any]


@dataclass(frozen=True)
class Breakdown:
    """Scores of parts of the test set.

    Attributes:
        title: The property that divides the test set, such as `source length`.
        metric: The score's name.
        parts: The name of each part.
        sizes: The number of items of each part.
        scores: Variant to its score in each part; NaN if it has none.
        note: An explanation for readers.
    """

    title: str
    metric: str
    parts: list[str]
    sizes: list[int]
    scores: dict[str, list[float]]
    note: str = ""


@dataclass(frozen=True)
class Difference:
    """An item that baseline and system predict differently, and their scores, 0 to 100."""

    source: str
    reference: str
    predictions: tuple[str, str]
    scores: tuple[float, float]


def words(text: str) -> list[str]:
    """Returns the words of a text, or its characters if it has no spaces."""
    return text.split() if " " in text.strip() else list(text)


def by_length(runs: dict[str, FinishedRun]) -> Breakdown | None:
    """Returns the main score by source length; None if the lengths hardly differ.

    Args:
        runs: Variant to its representative run; all have the same test set.
    """
    first = next(iter(runs.values()))
    lengths = np.array([len(row.get("tokens") or words(row["source"])) for row in first.rows])
    bins = length_bins(lengths)
    if len(bins) < 2:
        return None
    metric, score = _main_score(first)
    return Breakdown(
        "source length",
        metric,
        list(bins),
        [len(items) for items in bins.values()],
        {
            variant: [score([run.rows[i] for i in items]) for items in bins.values()]
            for variant, run in runs.items()
        },
    )


def by_step(runs: dict[str, FinishedRun]) -> Breakdown:
    """Returns the error of each step of forecasts; see `by_length`."""
    errors = {variant: errors_by_step(run) for variant, run in runs.items()}
    metric, by_name = next(iter(errors.values()))
    sizes = [len(next(iter(runs.values())).rows)] * len(by_name)
    scores = {variant: list(values.values()) for variant, (_, values) in errors.items()}
    return Breakdown("step of the horizon", metric, list(by_name), sizes, scores)


def length_bins(lengths: np.ndarray) -> dict[str, np.ndarray]:
    """Divides lengths into a few bins of one width, such as 1-10, 11-20 and 21+.

    The last one is open where it holds the longest five percent.

    Returns:
        The name of each bin that is not empty to the indices of its lengths.
    """
    shortest, longest = int(lengths.min()), int(lengths.max())
    end = int(np.quantile(lengths, 0.95))
    widths = (step * 10**power for power in count() for step in LENGTH_STEPS)
    span = max(end, shortest) - shortest + 1
    width = next(width for width in widths if width * (MAX_LENGTH_BINS - 1) >= span)
    last = (end - 1) // width + (longest > end)
    numbers = np.minimum((lengths - 1) // width, last)
    bins = {}
    for number in np.unique(numbers).tolist():
        low, high = number * width + 1, (number + 1) * width
        name = str(low) if width == 1 else f"{max(low, 0)}-{high}"
        is_open = number == last and longest > high
        bins[f"{low}+" if is_open else name] = np.flatnonzero(numbers == number)
    return bins


def _main_score(run: FinishedRun) -> tuple[str, Callable[[Sequence[Row]], float]]:
    """Returns the name and the function of the score of a part of the test set."""

    def accuracy(rows: Sequence[Row]) -> float:
        hits = [hit for row in rows for hit in _hits(row, run.kind)]
        return float(np.mean(hits)) if hits else math.nan

    if run.kind != "text":
        return "accuracy", accuracy
    metrics = [m for m in ("bleu", "chrf", "chrf++", "ter") if m in run.metrics["test"]]
    if not metrics:
        return "exact_match", accuracy
    metric, tokenize = metrics[0], run.config.get("task.bleu_tokenize", "13a")

    def score(rows: Sequence[Row]) -> float:
        predictions = [row["prediction"] for row in rows]
        references = [references_of(row) for row in rows]
        return score_texts(predictions, references, [metric], tokenize).values[metric]

    return metric, score


def _hits(row: Row, kind: Kind) -> list[bool]:
    """Returns whether each tag is correct; for other kinds, whether the prediction is."""
    if kind == "tags":
        return [true == predicted for true, predicted in zip(*labels_of(row), strict=True)]
    return [row["prediction"].strip() in map(str.strip, references_of(row))]


def by_frequency(runs: dict[str, FinishedRun]) -> Breakdown:
    """Returns a score of words or labels by their frequency in the training data.

    The score is the F1 of target words for texts, the accuracy by source word for tags, the
    accuracy by label for classes, and the recall of labels for label sets.
    """
    first = next(iter(runs.values()))
    title, score, metric = FREQUENCY_OF[first.kind]
    counts, note = _training_counts(first)
    sizes = [0] * len(FREQUENCIES)
    for row in first.rows:
        for item in _items(row, first.kind):
            sizes[_bin(counts[item])] += 1
    bins = [number for number, size in enumerate(sizes) if size >= MINIMUM_BUCKET_SIZE]
    scores = {variant: score(run, counts) for variant, run in runs.items()}
    return Breakdown(
        f"frequency of the {title}",
        metric,
        [_range(*FREQUENCIES[number]) for number in bins],
        [sizes[number] for number in bins],
        {variant: [values[number] for number in bins] for variant, values in scores.items()},
        note,
    )


def _items(row: Row, kind: Kind) -> list[str]:
    """Returns the words or labels of a row that `by_frequency` groups."""
    if kind == "text":
        return words(row["reference"])
    return row["tokens"] if kind == "tags" else labels_of(row)[0]


def _range(low: int, high: int | None) -> str:
    return f"{low:,}+" if high is None else str(low) if low == high else f"{low}-{high}"


def _bin(count: int) -> int:
    return max(number for number, (low, _) in enumerate(FREQUENCIES) if count >= low)


def _training_counts(run: FinishedRun) -> tuple[Counter[str], str]:
    """Returns counts of words or labels in the training data, and a note on where they are from."""
    try:
        saved = load_saved(run.folder / ".hydra" / "config.yaml", keys=["data", "task"])
        records = build(saved, "data").records("train")
        items = _record_items(run.kind, saved.task)
        counts = Counter(
            item for record in islice(records, TRAINING_RECORDS) for item in items(record)
        )
        return counts, "Frequencies are those in the training data."
    except (UserError, OSError, KeyError, StopIteration, RuntimeError):
        counts = Counter(item for row in run.rows for item in _items(row, run.kind))
        return counts, "The training data cannot be read: frequencies are those in the test set."


def _record_items(kind: Kind, task: Mapping[str, Any]) -> Callable[[Row], list[str]]:
    """Returns the function from a training record to its words or labels."""
    if kind == "text":
        return lambda record: words(next(record[n] for n in ("target", "text") if n in record))
    if kind == "tags":
        return lambda record: list(record["tokens"])
    delimiter = task.get("label_delimiter", ",")
    labels = ClassLabels(task.get("label_names"), kind == "label set", delimiter)
    return lambda record: labels.names_of(record["label"])


def _word_f1(run: FinishedRun, counts: Counter[str]) -> list[float]:
    sums = np.zeros((3, len(FREQUENCIES)))  # correct, in the reference, predicted
    for row in run.rows:
        predicted = Counter(words(row["prediction"]))
        references = (Counter(words(text)) for text in references_of(row))
        true = max(references, key=lambda counter: (counter & predicted).total())
        for number, counter in enumerate((true & predicted, true, predicted)):
            for word, occurrences in counter.items():
                sums[number, _bin(counts[word])] += occurrences
    with np.errstate(invalid="ignore"):
        return (2 * sums[0] / (sums[1] + sums[2])).tolist()


def _share_of_hits(
    hits: Callable[[Row, Kind], Iterable[bool]], run: FinishedRun, counts: Counter[str]
) -> list[float]:
    sums = np.zeros((2, len(FREQUENCIES)))  # correct, all
    for row in run.rows:
        for item, hit in zip(_items(row, run.kind), hits(row, run.kind), strict=True):
            sums[:, _bin(counts[item])] += (hit, 1)
    with np.errstate(invalid="ignore"):
        return (sums[0] / sums[1]).tolist()


def _is_predicted(row: Row, kind: Kind) -> list[bool]:
    """Returns whether each label of the reference is predicted."""
    true, predicted = labels_of(row)
    return [label in predicted for label in true]


FREQUENCY_OF: dict[Kind, tuple[str, Callable[[FinishedRun, Counter[str]], list[float]], str]] = {
    "text": ("word", _word_f1, "word F1"),
    "tags": ("source word", partial(_share_of_hits, _hits), "accuracy"),
    "class": ("label", partial(_share_of_hits, _hits), "accuracy"),
    "label set": ("label", partial(_share_of_hits, _is_predicted), "recall"),
}
"""For each kind of prediction: the items whose frequencies are counted, their score, its name."""


def largest_differences(
    baseline: FinishedRun, system: FinishedRun
) -> tuple[list[Difference], list[Difference]]:
    """Returns the items on which the system beats the baseline most, and those where it is worst.

    Texts are scored by sacreBLEU's sentence chrF, labels by the share of correct ones, forecasts by
    100 minus half of their sMAPE.
    """
    scores = [_item_scores(run) for run in (baseline, system)]
    change = np.array(scores[1]) - np.array(scores[0])
    order = np.argsort(change, kind="stable")

    def examples(items: Iterable[int]) -> list[Difference]:
        return [
            Difference(
                *_described(baseline.rows[i])[:2],
                (_described(baseline.rows[i])[2], _described(system.rows[i])[2]),
                (scores[0][i], scores[1][i]),
            )
            for i in islice(items, EXAMPLES)
        ]

    return (
        examples(i for i in order[::-1] if change[i] > 0),
        examples(i for i in order if change[i] < 0),
    )


def _described(row: Row) -> tuple[str, str, str]:
    """Returns source, reference and prediction of a row."""
    if kind_of(row) == "forecast":
        return described(row)
    return row["source"], reference_text(row), row["prediction"]


def _item_scores(run: FinishedRun) -> list[float]:
    if run.kind == "forecast":
        sums = (statistics["smape"] for statistics in run.statistics)
        return [100 - total / max(count, 1) / 2 for total, count in sums]
    if run.kind != "text":
        return [100.0 * float(np.mean(_hits(row, run.kind) or [True])) for row in run.rows]
    chrf = CHRF()
    return [chrf.sentence_score(row["prediction"], references_of(row)).score for row in run.rows]
