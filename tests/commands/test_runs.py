"""`seq2seq runs --best`: how runs are ranked."""

import random
from dataclasses import replace

from seq2seq.commands.runs import _rank, _table
from seq2seq.tracking.mlflow_runs import TrackedRun


def run(name, status="FINISHED", **scores):
    return TrackedRun(
        run_id=name, name=name, experiment="", status=status, started=0, minutes=1.0, tags={},
        parent=None, scores={f"test_{score}": value for score, value in scores.items()},
    )  # fmt: skip


def test_folders_are_listed_where_there_is_room():
    runs = [replace(run("0" * 8, mase=0.7), tags={"run_folder": "/a/first"})]
    assert [column.header for column in _table(runs, 80).columns][-1] == "folder"
    assert [column.header for column in _table(runs, 40).columns][-1] == "age"


def test_the_best_come_first_for_each_kind_of_score():
    ranked = [
        run("a", accuracy=0.9, loss=0.1),
        run("b", accuracy=0.8, loss=0.05),
        run("c", nats_per_character=1.4),
        run("d", nats_per_character=1.5),
        run("e", status="FAILED", accuracy=1.0),
        run("f"),
    ]
    shuffled = random.Random(1).sample(ranked, len(ranked))
    names = [tracked.name for tracked in sorted(shuffled, key=_rank)]
    assert names[:4] == ["a", "b", "c", "d"]
    assert set(names[4:]) == {"e", "f"}


def test_scores_of_different_data_are_not_ranked_together():
    ranked = [
        replace(run(name, mase=mase), tags={"data": data})
        for name, mase, data in (("a", 0.8, "airline"), ("b", 0.9, "airline"), ("c", 0.7, "co2"))
    ]
    shuffled = random.Random(1).sample(ranked, len(ranked))
    assert [tracked.name for tracked in sorted(shuffled, key=_rank)] == ["a", "b", "c"]
