"""Listing runs and finding them by what a person types."""

import json

import pytest

from seq2seq.cli import main
from seq2seq.errors import UserError
from seq2seq.tracking.mlflow_runs import RunStore
from seq2seq.tracking.mlflow_tracker import MlflowTracker


def track(folder, score, experiment="seq2seq", status="FINISHED", **tags):
    folder.mkdir(parents=True)
    (folder / "metrics.json").write_text("{}")
    tracker = MlflowTracker(experiment=experiment, models=False)
    tracker.start(folder, {"seed": 1}, tags)
    if score is not None:
        tracker.log_metrics({"test_bleu": score, "test_loss": 1.0, "val_loss": 2.0}, 3)
    tracker.log_folder(folder)
    tracker.finish(status)
    return tracker.run_id


@pytest.fixture
def runs(store, tmp_path):
    return [
        track(tmp_path / "a", 20.0, recipe="translation/x"),
        track(tmp_path / "b", 30.0, experiment="other", recipe="translation/y"),
        track(tmp_path / "c", None, status="FAILED"),
    ]


def test_runs_are_listed_newest_first_with_their_scores(runs, capsys):
    with pytest.raises(SystemExit, match="0"):
        main(["runs", "--format", "json"])
    listed = json.loads(capsys.readouterr().out)
    assert [run["run_id"] for run in listed] == runs[::-1]
    assert listed[1]["scores"] == {"test_bleu": 30.0, "test_loss": 1.0}
    assert [run["status"] for run in listed] == ["FAILED", "FINISHED", "FINISHED"]
    with pytest.raises(SystemExit, match="0"):
        main(["runs", "--experiment", "other"])
    table = capsys.readouterr().out
    assert "translation/y" in table
    assert table.splitlines()[0].split()[-1] == "folder"
    assert table.splitlines()[1].split()[-1] == "b"
    assert "translation/x" not in table
    with pytest.raises(SystemExit, match="0"):
        main(["runs", "--filter", "metrics.test_bleu > 25", "--format", "json"])
    assert [run["run_id"] for run in json.loads(capsys.readouterr().out)] == [runs[1]]


def test_runs_are_found_by_what_a_person_types(runs, store, tmp_path):
    store_runs = RunStore()
    for word, expected in (
        (runs[0], [runs[0]]),
        (runs[1][:8], [runs[1]]),
        ("other", [runs[1]]),
        ("seq2seq", [runs[0]]),
        ("tags.recipe LIKE 'translation/%'", runs[:2]),
    ):
        assert store_runs.find(word) == expected
    assert store_runs.folder(runs[0]) == tmp_path / "a"
    for word in ("nothing", "0" * 32, runs[2]):
        with pytest.raises(UserError):
            store_runs.find(word) if word != runs[2] else store_runs.find("metrics.test_bleu < 0")
    with pytest.raises(UserError, match="--filter"):
        store_runs.runs(filter_string="loss ~ 3")


def test_a_run_whose_folder_is_gone_is_downloaded(runs, store, tmp_path):
    (tmp_path / "a").rename(tmp_path / "moved")
    folder = RunStore().folder(runs[0])
    assert folder != tmp_path / "a"
    assert (folder / "metrics.json").read_text() == "{}"


def test_listing_makes_no_store(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit, match="2"):
        main(["runs"])
    assert "no MLflow store" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_children_of_a_sweep_know_their_parent(store, tmp_path, monkeypatch):
    parent = track(tmp_path / "sweep", None)
    monkeypatch.setenv("MLFLOW_RUN_ID", "0" * 32)  # MLflow would take it for the parent
    child = track(tmp_path / "sweep" / "0", 1.0, **{"mlflow.parentRunId": parent})
    assert {run.run_id: run.parent for run in RunStore().runs()} == {child: parent, parent: None}
