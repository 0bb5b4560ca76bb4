"""Statistics of single items give the scores that seqeval, scikit-learn and sacreBLEU give."""

import random

import numpy as np
import pytest
from seqeval import metrics as seqeval_metrics
from seqeval.scheme import IOB2
from sklearn import metrics as sklearn_metrics
from sklearn.preprocessing import MultiLabelBinarizer

from seq2seq.errors import UserError
from seq2seq.evaluation.item_statistics import SCORES, item_statistics, statistics_matrices
from seq2seq.prediction_rows import kind_of, read_rows, write_rows

NAMES = ["cat", "dog", "owl"]


def score(name, statistics):
    statistic, from_sums = SCORES[name]
    [matrix] = statistics_matrices(statistic, statistics)
    return float(from_sums(matrix.sum(0)[None])[0])


def tag_rows():
    draw = random.Random(3)
    labels = ["O", "B-PER", "I-PER", "B-LOC", "I-LOC"]
    rows = []
    for _ in range(50):
        size = draw.randint(1, 9)
        true = draw.choices(labels, k=size)
        predicted = [draw.choice(labels) if draw.random() < 0.3 else label for label in true]
        tokens = [f"w{n}" for n in range(size)]
        rows.append({"tokens": tokens, "labels": predicted, "reference_labels": true})
    return rows


def test_tags():
    rows = tag_rows()
    true = [row["reference_labels"] for row in rows]
    predicted = [row["labels"] for row in rows]
    known = [[token != "w1" for token in row["tokens"]] for row in rows]
    statistics = item_statistics(rows, "IOB2", known)
    assert score("accuracy", statistics) == seqeval_metrics.accuracy_score(true, predicted)
    unknown = [
        (true_row[1], predicted_row[1])
        for true_row, predicted_row in zip(true, predicted, strict=True)
        if len(true_row) > 1
    ]
    assert score("accuracy_unknown", statistics) == np.mean([a == b for a, b in unknown])
    for name in ("precision", "recall", "f1"):
        function = getattr(seqeval_metrics, f"{name}_score")
        assert score(name, statistics) == pytest.approx(function(true, predicted))
        strict = function(true, predicted, mode="strict", scheme=IOB2)
        assert score(f"strict_{name}", statistics) == pytest.approx(strict)


def test_classes():
    draw = random.Random(4)
    true = draw.choices(NAMES, k=80)
    predicted = [draw.choice(NAMES) if draw.random() < 0.4 else name for name in true]
    rows = [
        {"prediction": guess, "reference": name, "probabilities": {}}
        for name, guess in zip(true, predicted, strict=True)
    ]
    statistics = item_statistics(rows)
    assert score("accuracy", statistics) == sklearn_metrics.accuracy_score(true, predicted)
    for average in ("macro", "weighted", "micro"):
        expected = sklearn_metrics.f1_score(true, predicted, average=average)
        assert score(f"f1_{average}", statistics) == pytest.approx(expected)


def test_label_sets():
    draw = random.Random(5)
    true = [draw.sample(NAMES, draw.randint(0, 3)) for _ in range(80)]
    predicted = [draw.sample(NAMES, draw.randint(0, 3)) for _ in range(80)]
    rows = [
        {"labels": guess, "reference_labels": names, "probabilities": {}}
        for names, guess in zip(true, predicted, strict=True)
    ]
    assert kind_of(rows[0]) == "label set"
    statistics = item_statistics(rows)
    binary = MultiLabelBinarizer().fit([NAMES])
    matrices = binary.transform(true), binary.transform(predicted)
    assert score("accuracy", statistics) == sklearn_metrics.accuracy_score(*matrices)
    for average in ("macro", "weighted", "micro"):
        expected = sklearn_metrics.f1_score(*matrices, average=average, zero_division=0)
        assert score(f"f1_{average}", statistics) == pytest.approx(expected)


def test_labels_of_two_runs_share_their_columns():
    first = [{"labels": {"cat": [1.0, 1.0, 1.0]}}]
    second = [{"labels": {"cat": [0.0, 0.0, 1.0], "dog": [0.0, 1.0, 0.0]}}]
    one, two = statistics_matrices("labels", first, second)
    assert one.tolist() == [[1, 0, 1, 0, 1, 0]]
    assert two.tolist() == [[0, 0, 0, 1, 1, 0]]


def test_rows_are_read_as_they_were_written(tmp_path):
    rows = [{"source": "a\u2028b", "prediction": "«é»", "score": -1.5}]
    write_rows(tmp_path / "rows.jsonl", rows)
    assert read_rows(tmp_path / "rows.jsonl") == rows


@pytest.mark.parametrize("line", ["[]", '"text"', "{", "[" * 100_000])
def test_what_is_no_row(tmp_path, line):
    (tmp_path / "rows.jsonl").write_text(f'{{"source": "a"}}\n{line}\n')
    with pytest.raises(UserError, match=r"rows\.jsonl"):
        read_rows(tmp_path / "rows.jsonl")
