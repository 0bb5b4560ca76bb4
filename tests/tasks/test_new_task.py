"""A new task: the code of docs/new_task.md trains, predicts and evaluates as any other run."""

import json
import re
import sys
from pathlib import Path

import pytest
from omegaconf import OmegaConf
from rich.console import Console

from seq2seq.config import composed
from seq2seq.errors import UserError
from seq2seq.experiment import run
from seq2seq.inference.evaluation import evaluate
from seq2seq.inference.predictor import Predictor

DOCUMENT = Path(__file__).parents[2] / "docs" / "new_task.md"
MOST_LINES = 60
LINES = ["one\t1", "one one\t2", "one one one\t3", "two\t2", "two two\t4", "one two\t3"]


@pytest.fixture
def code(tmp_path, monkeypatch):
    """The document's code, as a module `regression`."""
    text = re.search(r"```python\n(.*?)```", DOCUMENT.read_text("utf-8"), re.S)[1]
    (tmp_path / "regression.py").write_text(text)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    yield text
    sys.modules.pop("regression", None)


def test_a_new_task_is_short(code):
    lines = code[code.index("\nclass ") :].splitlines()
    assert len([line for line in lines if line]) <= MOST_LINES


def test_a_new_task_trains_predicts_and_evaluates(code, tmp_path):
    (tmp_path / "all.tsv").write_text("".join(f"{line}\n" for line in LINES))
    config = composed([
        "~task", "+task._target_=regression.Regression", "tokenizer=text/word", "decoding=none",
        "~model", "+model._target_=regression.Regressor", "+model.units=4",
        "data=tsv", f"data.directory={tmp_path}", "data.holdout=null",
        *(f"data.files.{split}=all.tsv" for split in ("train", "validation", "test")),
        "trainer.epochs=1", "tracking=none",
    ])  # fmt: skip
    folder = tmp_path / "run"
    metrics = run(config, folder, {}, Console(quiet=True))
    with pytest.raises(UserError, match="--trust regression"):
        Predictor.load(folder)
    predictor = Predictor.load(folder, trust=["regression"])
    sources = [line.split("\t")[0] for line in LINES]
    saved = [json.loads(line) for line in (folder / "predictions/test.jsonl").open("rb")]
    rows = predictor(sources, batch_size=2)
    assert [row["source"] for row in rows] == [row["source"] for row in saved] == sources
    predictions = [float(row["prediction"]) for row in rows]
    assert predictions == pytest.approx([float(row["prediction"]) for row in saved], abs=1e-5)
    numbers = [float(line.split("\t")[1]) for line in LINES]
    errors = [abs(one - other) for one, other in zip(predictions, numbers, strict=True)]
    assert metrics["test"]["mae"] == pytest.approx(sum(errors) / len(errors), abs=1e-5)
    (folder / ".hydra").mkdir()
    OmegaConf.save(config, folder / ".hydra" / "config.yaml")
    scores = evaluate(folder, "test", None, None, None, trust=["regression"])
    assert scores["mae"] == pytest.approx(metrics["test"]["mae"], abs=1e-5)
    for option in ({"alignments": True}, {"decoding": "beam"}, {"n_best": 2}):
        with pytest.raises(UserError, match="Regression runs"):
            predictor(["one"], **option)
    with pytest.raises(UserError, match="score: has no meaning"):
        predictor.score([{"source": "one", "target": "1"}])
