"""`import seq2seq` as a person uses it from Python."""

import json
import os
import subprocess
import sys

import numpy as np
import pytest

import seq2seq
from seq2seq.cli import main
from seq2seq.data.embedded.cldr_languages import CldrLanguages

SPLITS = ("train", "validation", "test")


def write_data(folder, languages, step=9):
    folder.mkdir()
    for split in SPLITS:
        records = [r for r in CldrLanguages().records(split) if r["label"] in languages][::step]
        lines = [f"{record['text']}\t{record['label']}\n" for record in records]
        (folder / f"{split}.tsv").write_text("".join(lines))
    return {
        "data": "labelled_tsv",
        "data.directory": folder,
        **{f"data.files.{split}": f"{split}.tsv" for split in SPLITS},
    }


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("a folder, 'quoted'")
    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.setenv("XDG_CACHE_HOME", str(folder / "cache"))
        monkeypatch.chdir(folder)
        yield folder


@pytest.fixture(scope="module")
def overrides(folder):
    return {
        **write_data(folder / "data", ("de", "ja", "ru", "th")),
        "model.encoder.units": 12,
        "model.pooling": ["attention", "max"],
        "trainer.epochs": 2,
        "tracking": "none",
    }


@pytest.fixture(scope="module")
def run(folder, overrides):
    return seq2seq.train(
        "classification/cldr_languages", {**overrides, "hydra.run.dir": folder / "run"}
    )


def test_the_command_line_trains_the_same(run, folder, overrides):
    arguments = [
        f"{key}={json.dumps(value) if isinstance(value, list) else value}"
        for key, value in overrides.items()
        if key != "data.directory"
    ]
    arguments += ["data.directory=data", "hydra.run.dir=cli"]
    with pytest.raises(SystemExit) as ended:
        main(["train", "recipe=classification/cldr_languages", *arguments])
    assert ended.value.code == 0
    of_command = json.loads((folder / "cli" / "metrics.json").read_text())
    assert run.metrics["test"].to_dict() == of_command["test"]
    assert run.metrics["validation"].to_dict() == of_command["validation"]


def test_scores_history_and_predictions_are_frames(run):
    predictions = run.predictions()
    accuracy = np.mean(predictions["prediction"] == predictions["reference"])
    assert run.metrics.loc["accuracy", "test"] == pytest.approx(accuracy)
    assert list(run.history.index) == [1, 2]
    assert run.history.loc[2, "val_loss"] == pytest.approx(run.metrics.loc["loss", "validation"])
    with pytest.raises(seq2seq.UserError, match="validation or test"):
        run.predictions("train")


def test_a_loaded_run_predicts_what_the_run_wrote(run):
    written = run.predictions()
    predictor = seq2seq.load(run)
    frame = predictor(written["source"])
    assert frame["prediction"].tolist() == written["prediction"].tolist()
    assert predictor(written["source"][0])["prediction"] == written["prediction"][0]


def test_a_run_goes_on_from_all_of_anothers_weights(run, folder, overrides):
    data = write_data(folder / "other", ("de", "ja"), step=13)
    data = {
        "data": "labelled_csv",  # the run's data.files and data.directory are not for these
        "data.directory": data["data.directory"],
        "data.files.train": "train.csv",
        "data.holdout.fractions": {"validation": 0.2, "test": 0.2},
    }
    lines = (folder / "other" / "train.tsv").read_text().splitlines()
    rows = [line.split("\t") for line in lines]
    (folder / "other" / "train.csv").write_text(
        "text,label\n" + "".join(f'"{text}",{label}\n' for text, label in rows)
    )
    tuned = seq2seq.train(
        overrides={
            "init_from": run,
            **data,
            "optimizer.learning_rate": 1e-9,
            "hydra.run.dir": folder / "tuned",
        }
    )
    assert tuned.config["model.encoder.units"] == "12"
    assert tuned.config["optimizer.learning_rate"] != run.config["optimizer.learning_rate"]
    before, after = run.predictor(), tuned.predictor()
    assert after.task.labels.names == before.task.labels.names  # four, of which the data have two
    assert after.task.tokenizer.fingerprint == before.task.tokenizer.fingerprint
    for old, new in zip(
        before.model.training_model.weights, after.model.training_model.weights, strict=True
    ):
        np.testing.assert_allclose(old, new, atol=1e-5)
    texts = run.predictions()["source"].tolist()
    assert [row["prediction"] for row in before(texts)] == [
        row["prediction"] for row in after(texts)
    ]


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"model.encoder.units": 13}, "has the shape"),
        ({"languages": ("de", "fr")}, "labels that the run has not learned: fr"),
        ({"init_from": "nowhere"}, "not a run folder"),
        ({"model.encoder.layers": 2}, "init_from="),
    ],
)
def test_what_does_not_fit_the_other_run_is_named(run, folder, changed, message, tmp_path):
    changed = dict(changed)
    data = write_data(tmp_path / "data", changed.pop("languages", ("de", "ja")), step=20)
    with pytest.raises(seq2seq.UserError, match=message):
        seq2seq.train(overrides={"init_from": run, **data, **changed})


def test_a_comparison_is_markdown(run, folder, overrides):
    other = seq2seq.train(
        "classification/cldr_languages",
        {**overrides, "model.encoder.units": 4, "hydra.run.dir": folder / "small"},
    )
    text = str(seq2seq.compare(run, other))
    assert "| model.encoder.units | 12 | 4 |" in text
    assert f"{run.metrics.loc['accuracy', 'test']:.4g}" in text


def test_mistakes_are_exceptions(run):
    with pytest.raises(seq2seq.UserError, match="no such recipe"):
        seq2seq.train("classification/cldr_langages")
    with pytest.raises(seq2seq.UserError, match="no such config key"):
        seq2seq.train("classification/cldr_languages", {"trainer.epoch": 1})
    with pytest.raises(seq2seq.UserError, match="key=value"):
        seq2seq.train("classification/cldr_languages", ["--multirun", "seed=1,2"])
    with pytest.raises(seq2seq.UserError, match=r"metrics\.json"):
        seq2seq.Run("nowhere")
    with pytest.raises(seq2seq.UserError, match="alignments=True"):
        seq2seq.plot_alignment(run.predictor()("Polska"))
    with pytest.raises(AttributeError, match="nothing"):
        _ = seq2seq.nothing


@pytest.mark.parametrize(
    "value",
    [
        1,
        2.5,
        True,
        None,
        "word",
        "two words",
        "it's",
        "a,b",
        "{a: b}",
        "1",
        "null",
        "ключ",
        "${x}",
        "",
    ],
)
def test_values_arrive_as_they_are(value):
    from hydra.core.override_parser.overrides_parser import OverridesParser

    from seq2seq.api import _override

    parser = OverridesParser.create()
    assert parser.parse_override(_override("key", value)).value() == value
    nested = {"a": [value, {"b": value}]}
    assert parser.parse_override(_override("key", nested)).value() == nested


def test_the_import_is_quiet_and_starts_no_tensorflow():
    program = (
        "import sys, seq2seq; assert set(dir(seq2seq)) == set(seq2seq.__all__);"
        "assert not {'tensorflow', 'keras', 'numpy', 'hydra'} & set(sys.modules);"
        "[getattr(seq2seq, name) for name in dir(seq2seq)]; assert 'tensorflow' in sys.modules"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert (done.stdout, done.stderr) == ("", "")


def test_predicting_is_quiet(run):
    """TensorFlow looks for a GPU with the first operation, and says so by default."""
    program = f"import seq2seq; seq2seq.load({str(run.folder)!r})('Berlin')"
    without_level = {k: v for k, v in os.environ.items() if k != "TF_CPP_MIN_LOG_LEVEL"}
    done = subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True,
        text=True,
        check=True,
        env=without_level,
    )
    assert (done.stdout, done.stderr) == ("", "")


def test_alignments_are_plotted_in_one_call():
    row = {"alignments": [[0.9, 0.1]], "source_tokens": ["a", "b"], "target_tokens": ["x"]}
    assert seq2seq.plot_alignment(row).axes
