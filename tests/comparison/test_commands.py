import io
import json
import time

import pytest
from rich.console import Console

from seq2seq.cli import main
from seq2seq.commands.runs import _age, _table
from seq2seq.tracking.mlflow_runs import TrackedRun
from tests.comparison.made_up_runs import text_run


@pytest.fixture
def two_runs(tmp_path, monkeypatch):
    for name, noise in (("a", 0.2), ("b", 0.6)):
        text_run(tmp_path / "outputs" / name, cell=name, noise=noise)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def call(*arguments):
    with pytest.raises(SystemExit) as ended:
        main(list(arguments))
    return ended.value.code


def test_compare_prints_and_writes(two_runs, capsys):
    assert call("compare", "outputs", "--format", "json", "-o", "found") == 0
    content = json.loads(capsys.readouterr().out)
    assert [v["label"] for v in content["variants"]] == ["encoder.cell=a", "encoder.cell=b"]
    assert content == json.loads((two_runs / "found" / "comparison.json").read_text())
    assert call("compare", "outputs/a", "outputs/b") == 0
    printed = capsys.readouterr().out
    assert "Significance" in printed
    assert "model.encoder.cell" in printed
    assert call("compare", "outputs", "--ignore", "model.encoder", "--format", "markdown") == 0
    assert "nothing to test" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["compare", "outputs/a"], "at least two"),
        (["compare", "outputs/a", "nothing"], "no MLflow store"),
        (["runs", "nowhere"], "is not a folder"),
        (["runs", "outputs", "--limit", "0"], "--limit"),
        (["register", "outputs/a", "--name", "x"], "not tracked by MLflow"),
    ],
)
def test_mistakes(two_runs, capsys, arguments, message):
    assert call(*arguments) == 2
    assert message in capsys.readouterr().err


def test_runs_in_folders(two_runs, capsys):
    assert call("runs", "outputs", "--format", "json") == 0
    found = json.loads(capsys.readouterr().out)
    assert {run["name"] for run in found} == {"outputs/a", "outputs/b"}
    assert found[0]["started"] >= found[1]["started"]
    assert set(found[0]["scores"]) >= {"test_bleu", "test_chrf", "validation_loss"}
    assert call("runs", "outputs") == 0
    printed = capsys.readouterr().out
    assert "bleu " in printed
    assert "ago" in printed or "just now" in printed
    assert call("runs", "outputs", "--wide") == 0
    assert "test_chrf" in capsys.readouterr().out


def test_the_list_of_runs_fits_80_columns():
    run = TrackedRun(
        run_id="0123456789abcdef", name="a name that says all there is to say about it, at length",
        experiment="", status="FINISHED", started=1000 * (int(time.time()) - 7300), minutes=1.0,
        tags={"recipe": "classification/cldr_languages"}, parent=None,
        scores={"test_accuracy": 0.98765, "test_loss": 15020.0},
    )  # fmt: skip
    console = Console(file=io.StringIO(), width=80)
    console.print(_table([run], 80))
    lines = console.file.getvalue().splitlines()
    assert len(lines) == 2
    assert lines[1].startswith("01234567  a name")
    assert "classification/cldr_languages  accuracy 0.9877" in lines[1]
    assert lines[1].rstrip().endswith("2 h ago")


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(5, "just now"), (119, "1 min ago"), (3 * 3600, "3 h ago"), (200_000, "2 d ago")],
)
def test_ages(seconds, text):
    assert _age(seconds) == text
