"""Classification as a person uses it: train, evaluate, predict, on names of Unicode CLDR."""

import json

import numpy as np
import pytest

from seq2seq.cli import main
from seq2seq.data.embedded.cldr_languages import CldrLanguages

LANGUAGES = ("de", "ja", "ru", "th")
SPLITS = ("train", "validation", "test")


@pytest.fixture(scope="module")
def workplace(tmp_path_factory):
    """A folder with data and a trained run."""
    folder = tmp_path_factory.mktemp("classes")
    for split in SPLITS:
        records = [r for r in CldrLanguages().records(split) if r["label"] in LANGUAGES][::9]
        lines = [f"{record['text']}\t{record['label']}\n" for record in records]
        (folder / f"{split}.tsv").write_text("".join(lines))
    arguments = [
        "recipe=classification/cldr_languages",
        "data=labelled_tsv",
        f"data.directory={folder}",
        *(f"data.files.{split}={split}.tsv" for split in SPLITS),
        "model.encoder.units=12",
        "model.pooling=[attention,max]",
        "trainer.epochs=3",
        "tracking=none",
        f"hydra.run.dir={folder}/run",
    ]
    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.setenv("XDG_CACHE_HOME", str(folder / "cache"))
        assert seq2seq("train", *arguments) == 0
    return folder


def seq2seq(*arguments):
    with pytest.raises(SystemExit) as ended:
        main([str(argument) for argument in arguments])
    return ended.value.code


def test_a_run_learns_and_is_a_folder(workplace):
    run = workplace / "run"
    metrics = json.loads((run / "metrics.json").read_text())
    assert metrics["test"]["accuracy"] > 0.8  # four scripts; chance is 0.25
    assert {"f1_macro", "f1_weighted", "mcc", "roc_auc", "ece", "loss"} <= set(metrics["test"])
    for name in ("confusion", "reliability", "precision_recall", "curves"):
        assert (run / "plots" / f"{name}.png").stat().st_size > 0
    for name in ("confused", "errors", "skipped"):
        assert (run / "tables" / f"test_{name}.jsonl").is_file()
    assert json.loads((run / "model" / "calibration.json").read_text())["temperature"] > 0


def test_evaluate_a_split_and_a_labelled_file(workplace, capsys):
    run = workplace / "run"
    expected = json.loads((run / "metrics.json").read_text())["test"]
    capsys.readouterr()
    for arguments in ((), ("--source", workplace / "test.tsv")):
        assert seq2seq("evaluate", run, *arguments) == 0
        scores = json.loads(capsys.readouterr().out)
        for name in ("accuracy", "f1_macro", "ece"):
            assert scores[name] == pytest.approx(expected[name], abs=1e-6)


def test_predict_labels_probabilities_and_attention(workplace, capsys):
    run, target = workplace / "run", workplace / "out"
    texts = [line.split("\t")[0] for line in (workplace / "test.tsv").read_text().splitlines()]
    (workplace / "in.txt").write_text("".join(f"{text}\n" for text in texts))
    predictions = [
        json.loads(line) for line in (run / "predictions" / "test.jsonl").read_text().splitlines()
    ]
    assert seq2seq("predict", run, workplace / "in.txt", "-o", target) == 0
    assert target.read_text().splitlines() == [row["prediction"] for row in predictions]
    assert seq2seq("predict", run, workplace / "test.tsv", "-o", target, "--format", "tsv") == 0
    for line, row in zip(target.read_text().splitlines(), predictions, strict=True):
        text, prediction, score, *probabilities = line.split("\t")
        assert (text, prediction) == (row["source"], row["prediction"])
        assert float(score) == pytest.approx(row["score"], abs=1e-4)
        assert list(map(float, probabilities)) == pytest.approx(
            list(row["probabilities"].values()), abs=1e-4
        )
    assert seq2seq("predict", run, workplace / "in.txt", "-o", target, "--attention") == 0
    row = json.loads(target.read_text().splitlines()[0])
    assert "".join(token for token, _ in row["attention"]["text"]).replace("▁", " ") == texts[0]


def test_vectors_as_a_file(workplace, capsys):
    run, target = workplace / "run", workplace / "vectors.npz"
    arguments = ("--features", "all", "-o", target)
    assert seq2seq("predict", run, workplace / "test.tsv", *arguments) == 0
    with np.load(target) as file:
        names = {f"text.layer_0.{way}.{field}" for way in ("forward", "backward") for field in "hc"}
        assert set(file) == {*names, "text.pooled"}
        assert file["text.pooled"].shape[1] == 48
    assert "text.pooled (48)" in capsys.readouterr().err
    assert seq2seq("predict", run, *arguments, "--n-best", 2, "--format", "tsv") == 2
    assert "n_best, format do not apply" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("Tokio\tde\nnur eine Spalte\n", "bad.tsv:2: 1 column"),
        ("Tokio\tklingonisch\n", "bad.tsv:1: label 'klingonisch' was never seen in training"),
    ],
)
def test_bad_files(workplace, capsys, content, message):
    (workplace / "bad.tsv").write_text(content)
    assert seq2seq("evaluate", workplace / "run", "--source", workplace / "bad.tsv") == 2
    assert message in capsys.readouterr().err
