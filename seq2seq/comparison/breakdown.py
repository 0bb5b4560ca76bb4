"""Where runs differ: by sentence length, by word frequency, and sentence by sentence."""

import math
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import islice
from typing import Any

import numpy as np
from sacrebleu.metrics import CHRF

from seq2seq.comparison.runs import FinishedRun, Kind, Row
from seq2seq.config import build
from seq2seq.data.labels.class_labels import ClassLabels
from seq2seq.errors import UserError
from seq2seq.evaluation.text import score_texts
from seq2seq.trust import load_saved

LENGTH_BUCKETS = 6
FREQUENCIES = ((0, 0), (1, 4), (5, 19), (20, 99), (100, 999), (1000, None))
TRAINING_RECORDS = 200_000
SMALLEST_BUCKET = 5
EXAMPLES = 5


@dataclass(frozen=True)
class Breakdown:
    """A score in parts of the test set.

    Attributes:
        title: What the parts are.
        metric: What is scored.
        parts: The name of each part.
        sizes: How many items each part has.
        scores: Variant to its score in each part; not a number where it has none.
        note: What else has to be known.
    """

    title: str
    metric: str
    parts: list[str]
    sizes: list[int]
    scores: dict[str, list[float]]
    note: str = ""


@dataclass(frozen=True)
class Difference:
    """One sentence that two runs predict differently.

    Attributes:
        source: What was given.
        reference: What is right.
        predictions: Baseline's and system's.
        scores: Their scores, 0 to 100.
    """

    source: str
    reference: str
    predictions: tuple[str, str]
    scores: tuple[float, float]


def text_of(value: object) -> str:
    """A text, or the tokens or tags of a row as one."""
    return " ".join(map(str, value)) if isinstance(value, list) else str(value)


def words(value: object) -> list[str]:
    """The words of a text; the characters where it is not parted by spaces."""
    if isinstance(value, list):
        return [str(item) for item in value]
    text = str(value)
    return text.split() if " " in text.strip() else list(text)


def by_length(runs: dict[str, FinishedRun]) -> Breakdown | None:
    """The main score by the length of the source.

    Args:
        runs: Variant to the run that stands for it; all have the same test set.

    Returns:
        None where the sources all have one length.
    """
    first = next(iter(runs.values()))
    lengths = np.array([len(words(row.get("source", ""))) for row in first.rows])
    borders = np.unique(np.quantile(lengths, np.linspace(0, 1, LENGTH_BUCKETS + 1)).astype(int))
    if len(borders) < 3:
        return None
    # A length belongs to the bucket that it opens; the last bucket holds the longest as well.
    bucket = np.clip(np.searchsorted(borders, lengths, side="right") - 1, 0, len(borders) - 2)
    chosen = [np.flatnonzero(bucket == number) for number in range(len(borders) - 1)]
    metric, score = _main_score(first)
    names = [f"{lengths[rows].min()}-{lengths[rows].max()}" for rows in chosen]
    return Breakdown(
        "source length",
        metric,
        names,
        [len(rows) for rows in chosen],
        {
            variant: [score([run.rows[i] for i in rows]) for rows in chosen]
            for variant, run in runs.items()
        },
    )


def _main_score(run: FinishedRun) -> tuple[str, Callable[[Sequence[Row]], float]]:
    """The name of what parts of the test set are scored by, and the function."""
    if run.kind != "texts":
        return "accuracy", lambda rows: _mean([hit for row in rows for hit in _hits(row, run.kind)])
    known = [m for m in ("bleu", "chrf", "chrf++", "ter") if m in run.metrics["test"]]
    if not known:
        return "exact_match", lambda rows: _mean([_is_right(row) for row in rows])
    metric, tokenize = known[0], run.config.get("task.bleu_tokenize", "13a")

    def score(rows: Sequence[Row]) -> float:
        predictions = [str(row["prediction"]) for row in rows]
        references = [str(row["reference"]) for row in rows]
        return score_texts(predictions, references, [metric], tokenize).values[metric]

    return metric, score


def _mean(hits: Sequence[bool]) -> float:
    return float(np.mean(hits)) if hits else math.nan


def _hits(row: Row, kind: Kind) -> list[bool]:
    """Whether each label is right; of any number of labels only whether they all are."""
    if kind == "tags":
        pairs = zip(row["reference"], row["prediction"], strict=True)
        return [reference == prediction for reference, prediction in pairs]
    return [_is_right(row)]


def _is_right(row: Row) -> bool:
    return text_of(row["reference"]).strip() == text_of(row["prediction"]).strip()


def by_frequency(runs: dict[str, FinishedRun]) -> Breakdown:
    """How well words are predicted, by how often training has seen them.

    Texts: the F1 of the target's words, each counted as often as it occurs in both prediction and
    reference. Tags: the accuracy on source words. Labels: the accuracy on items of a label; where
    a text has any number of them, the share of a label's items that have it predicted.
    """
    first = next(iter(runs.values()))
    title, field, score, metric = FREQUENCY_OF[first.kind]
    counts, note = _training_counts(first, field)
    key = "source" if field == "source" else "reference"
    sizes = [0] * len(FREQUENCIES)
    for row in first.rows:
        for word in _keys(row[key], first.kind):
            sizes[_bin(counts[word])] += 1
    kept = [number for number, size in enumerate(sizes) if size >= SMALLEST_BUCKET]
    scores = {variant: score(run, counts, key) for variant, run in runs.items()}
    return Breakdown(
        f"frequency of the {title}",
        metric,
        [_range(*FREQUENCIES[number]) for number in kept],
        [sizes[number] for number in kept],
        {variant: [values[number] for number in kept] for variant, values in scores.items()},
        note,
    )


def _keys(value: object, kind: Kind) -> list[str]:
    """Returns what is counted of a source or target: words, tokens, or labels."""
    return [text_of(value)] if kind == "classes" else words(value)


def _range(low: int, high: int | None) -> str:
    return f"{low:,}+" if high is None else str(low) if low == high else f"{low}-{high}"


def _bin(count: int) -> int:
    return max(number for number, (low, _) in enumerate(FREQUENCIES) if count >= low)


def _training_counts(run: FinishedRun, field: str) -> tuple[Counter[str], str]:
    """Counts words in the run's training data, or in the test set where those cannot be read."""
    try:
        saved = load_saved(run.folder / ".hydra" / "config.yaml", keys=["data", "task"])
        records = build(saved, "data").records("train")
        keys: Callable[[Any], list[str]] = partial(_keys, kind=run.kind)
        if field == "target" and run.kind in ("classes", "label sets"):
            settings = saved.task
            keys = ClassLabels(
                settings.get("label_names"),
                run.kind == "label sets",
                settings.get("label_delimiter", ","),
            ).read
        names = ("target", "label") if field == "target" else ("source", "tokens", "text")
        counts = Counter(
            word
            for record in islice(records, TRAINING_RECORDS)
            for word in keys(next(record[n] for n in names if n in record))
        )
        return counts, "Frequencies are those in the training data."
    except (UserError, OSError, KeyError, StopIteration, RuntimeError):
        key = "source" if field == "source" else "reference"
        counted = Counter(word for row in run.rows for word in _keys(row[key], run.kind))
        return counted, "The training data cannot be read: frequencies are those in the test set."


def _word_f1(run: FinishedRun, counts: Counter[str], key: str) -> list[float]:
    found = np.zeros((3, len(FREQUENCIES)))
    for row in run.rows:
        true, guess = Counter(words(row["reference"])), Counter(words(row["prediction"]))
        for number, counter in enumerate((true & guess, true, guess)):
            for word, count in counter.items():
                found[number, _bin(counts[word])] += count
    with np.errstate(invalid="ignore"):
        return (2 * found[0] / (found[1] + found[2])).tolist()


def _accuracy_by_key(run: FinishedRun, counts: Counter[str], key: str) -> list[float]:
    found = np.zeros((2, len(FREQUENCIES)))
    for row in run.rows:
        for word, hit in zip(_keys(row[key], run.kind), _hits(row, run.kind), strict=False):
            found[:, _bin(counts[word])] += (hit, 1)
    with np.errstate(invalid="ignore"):
        return (found[0] / found[1]).tolist()


def _recall_by_label(run: FinishedRun, counts: Counter[str], key: str) -> list[float]:
    found = np.zeros((2, len(FREQUENCIES)))
    for row in run.rows:
        for label in row["reference"]:
            found[:, _bin(counts[label])] += (label in row["prediction"], 1)
    with np.errstate(invalid="ignore"):
        return (found[0] / found[1]).tolist()


FREQUENCY_OF: dict[
    Kind, tuple[str, str, Callable[[FinishedRun, Counter[str], str], list[float]], str]
] = {
    "texts": ("word", "target", _word_f1, "word F1"),
    "tags": ("source word", "source", _accuracy_by_key, "accuracy"),
    "classes": ("label", "target", _accuracy_by_key, "accuracy"),
    "label sets": ("label", "target", _recall_by_label, "recall"),
}
"""For each kind of run: whose frequency counts, where it stands, and what is scored by it."""


def largest_differences(
    baseline: FinishedRun, system: FinishedRun
) -> tuple[list[Difference], list[Difference]]:
    """The sentences on which two runs differ most: where the system is better, and where worse.

    Texts are scored by sacreBLEU's sentence chrF, labels by the share that is right.
    """
    scores = [_sentence_scores(run) for run in (baseline, system)]
    change = np.array(scores[1]) - np.array(scores[0])
    order = np.argsort(change, kind="stable")
    return (
        _examples((i for i in order[::-1] if change[i] > 0), baseline, system, scores),
        _examples((i for i in order if change[i] < 0), baseline, system, scores),
    )


def _sentence_scores(run: FinishedRun) -> list[float]:
    if run.kind != "texts":
        return [100.0 * float(np.mean(_hits(row, run.kind) or [True])) for row in run.rows]
    chrf = CHRF()
    return [
        chrf.sentence_score(str(row["prediction"]), [str(row["reference"])]).score
        for row in run.rows
    ]


def _examples(
    positions: Iterable[int],
    baseline: FinishedRun,
    system: FinishedRun,
    scores: list[list[float]],
) -> list[Difference]:
    return [
        Difference(
            text_of(baseline.rows[i].get("source", "")),
            text_of(baseline.rows[i]["reference"]),
            (text_of(baseline.rows[i]["prediction"]), text_of(system.rows[i]["prediction"])),
            (scores[0][i], scores[1][i]),
        )
        for i in islice(positions, EXAMPLES)
    ]
