import numpy as np
import pytest
import seqeval.metrics

from seq2seq.evaluation.tagging import (
    accuracies,
    confusion_counts,
    confusions,
    entity_scores,
    frequent_errors,
    signature,
)

REFERENCES = [["B-PER", "I-PER", "O", "B-LOC"], ["O", "B-PER"]]
PREDICTIONS = [["B-PER", "I-PER", "O", "I-LOC"], ["B-LOC", "B-PER"]]


def test_entities_by_hand():
    """The broken I-LOC begins an entity by default, and is none when strict."""
    scores, table = entity_scores(REFERENCES, PREDICTIONS, "IOB2")
    assert scores == {
        "precision": 3 / 4,
        "recall": 1,
        "f1": pytest.approx(6 / 7),
        "strict_precision": 2 / 3,
        "strict_recall": 2 / 3,
        "strict_f1": pytest.approx(2 / 3),
    }
    assert {row["type"]: (row["precision"], row["recall"], row["entities"]) for row in table} == {
        "LOC": (0.5, 1, 1),
        "PER": (1, 1, 2),
    }
    assert {row["type"]: row["strict_f1"] for row in table} == {"LOC": 0, "PER": 1}
    assert signature("IOB2").startswith("seqeval:1.")


@pytest.mark.parametrize("scheme", ["IOB1", "IOB2", "BIOES"])
def test_f1_is_seqevals(scheme):
    random = np.random.default_rng(0)
    prefixes = {"IOB1": "IB", "IOB2": "BI", "BIOES": "BIES"}[scheme]
    labels = ["O", *(f"{prefix}-{kind}" for prefix in prefixes for kind in "XY")]
    one, other = (
        [random.choice(labels, length).tolist() for length in range(1, 30)] for _ in range(2)
    )
    scores, _ = entity_scores(one, other, scheme)
    assert scores["f1"] == pytest.approx(seqeval.metrics.f1_score(one, other))


def test_nothing_to_find():
    scores, table = entity_scores([["O"]], [["O"]], "IOB2")
    assert set(scores.values()) == {0}
    assert table == []


def test_accuracies_of_all_and_of_unknown_tokens():
    known = [[True, False, True, False], [True, True]]
    scores = accuracies(REFERENCES, PREDICTIONS, known)
    assert scores == {"accuracy": 4 / 6, "accuracy_unknown": 1 / 2}
    assert accuracies(REFERENCES, PREDICTIONS, [[True] * 4, [True] * 2]) == {"accuracy": 4 / 6}


def test_errors_and_confusions():
    tokens = [["Ann", "Lee", "in", "Rome"], ["Rome", "Ann"]]
    table = confusions(REFERENCES * 2, PREDICTIONS * 2)
    assert table[0] == {"reference": "B-PER", "prediction": "B-PER", "count": 4}
    counts, labels = confusion_counts(confusions(REFERENCES, PREDICTIONS))
    assert labels == ["B-LOC", "B-PER", "I-LOC", "I-PER", "O"]
    assert counts.sum() == 6
    assert counts[0, 2] == 1
    assert counts[4, 0] == 1
    assert frequent_errors(tokens * 2, REFERENCES * 2, PREDICTIONS * 2, limit=1) == [
        {"token": "Rome", "reference": "B-LOC", "prediction": "I-LOC", "count": 2}
    ]
