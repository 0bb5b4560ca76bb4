"""`seq2seq evaluate`, against sacreBLEU and counting by hand."""

import json

import pytest
import sacrebleu
from omegaconf import OmegaConf

from seq2seq.errors import UserError
from seq2seq.inference.evaluation import evaluate
from tests.language_run import prepared, saved_run


@pytest.fixture
def scores(run_folder, capsys):
    """Evaluates and returns the scores that are printed."""

    def run(split="test", source=None, target=None, predictions=None):
        evaluate(run_folder, split, source, target, predictions)
        return json.loads(capsys.readouterr().out)

    return run


def test_scores_of_a_split_and_its_predictions(scores, dates, tmp_path):
    found = scores(predictions=tmp_path / "rows.jsonl")
    rows = [json.loads(line) for line in (tmp_path / "rows.jsonl").read_text().splitlines()]
    assert [(row["source"], row["reference"]) for row in rows] == dates
    predictions, references = ([row[key] for row in rows] for key in ("prediction", "reference"))
    assert found["bleu"] == pytest.approx(sacrebleu.corpus_bleu(predictions, [references]).score)
    assert found["chrf"] == pytest.approx(sacrebleu.corpus_chrf(predictions, [references]).score)
    exact = sum(p == r for p, r in zip(predictions, references, strict=True)) / len(dates)
    assert found["exact_match"] == exact
    assert "version" in found["signatures"]["bleu"]


def test_files_in_place_of_a_split(scores, run_folder, tmp_path):
    predicted = tmp_path / "rows.jsonl"
    of_split = scores(predictions=predicted)
    assert scores(source=run_folder / "source", target=run_folder / "target") == of_split
    rows = [json.loads(line) for line in predicted.read_text().splitlines()]
    rows = [row for row in rows if not {"\n", "\r"} & set(row["prediction"])]
    for key in ("source", "prediction"):
        text = "".join(f"{row[key]}\n" for row in rows)
        (tmp_path / key).write_text(text, newline="\n")
    perfect = scores(source=tmp_path / "source", target=tmp_path / "prediction")
    assert perfect["exact_match"] == 1


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"split": "dev"}, "--split dev: .*data has train, validation, test"),
        ({"source": "source"}, "--source: .* not trained on files that hold .*; give --target"),
        ({"target": "target"}, "--target: give --source, too"),
        ({"source": "missing", "target": "target"}, "--source .*missing: no such file"),
        ({"source": "source", "target": "missing"}, "--target .*missing: no such file"),
        ({"source": "source", "target": "."}, "--target .*is a folder"),
        ({"predictions": "missing/rows.jsonl"}, "there is no folder .*missing"),
    ],
)
@pytest.mark.usefixtures("no_model")
def test_mistakes_are_found_before_the_model_is_loaded(scores, run_folder, arguments, message):
    paths = {key: run_folder / value for key, value in arguments.items() if key != "split"}
    with pytest.raises(UserError, match=message):
        scores(split=arguments.get("split", "test"), **paths)


@pytest.mark.usefixtures("no_model")
def test_files_of_different_lengths_leave_no_predictions(scores, run_folder, tmp_path):
    (tmp_path / "short").write_text("2051-08-07\n")
    with pytest.raises(UserError, match=r"source has 12 lines, but .*short has 1:"):
        scores("test", run_folder / "source", tmp_path / "short", tmp_path / "rows.jsonl")
    assert [path.name for path in tmp_path.iterdir()] == ["short"]


def test_a_folder_with_no_config_needs_files(scores, run_folder, capsys):
    with pytest.raises(UserError, match=r"no \.hydra/config\.yaml; give --source and --target"):
        evaluate(run_folder / "model", "test", None, None, None)
    evaluate(run_folder / "model", "test", run_folder / "source", run_folder / "target", None)
    assert "bleu" in json.loads(capsys.readouterr().out)


@pytest.mark.usefixtures("no_model")
def test_data_that_is_gone_is_named(run_folder, tmp_path):
    config = OmegaConf.load(run_folder / ".hydra" / "config.yaml")
    config.data.directory = str(tmp_path / "gone")
    (tmp_path / ".hydra").mkdir()
    OmegaConf.save(config, tmp_path / ".hydra" / "config.yaml")
    with pytest.raises(UserError, match=r"no folder .*gone"):
        evaluate(tmp_path, "test", None, None, None)


@pytest.mark.usefixtures("no_model")
def test_a_run_that_names_other_code_is_refused(run_folder, tmp_path):
    config = OmegaConf.load(run_folder / ".hydra" / "config.yaml")
    config.data = {"_target_": "logging.FileHandler", "filename": str(tmp_path / "written")}
    (tmp_path / ".hydra").mkdir()
    OmegaConf.save(config, tmp_path / ".hydra" / "config.yaml")
    with pytest.raises(UserError, match="must not run code"):
        evaluate(tmp_path, "test", None, None, None)
    assert not (tmp_path / "written").exists()


def test_dynamic_evaluation_of_a_language_model(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    config, *_ = prepared(tmp_path)
    folder = saved_run(tmp_path)
    (folder / ".hydra").mkdir()
    OmegaConf.save(config, folder / ".hydra" / "config.yaml")
    found = {}
    for rate in (None, 0.003):
        evaluate(folder, "test", None, None, None, rate)
        found[rate] = json.loads(capsys.readouterr().out)
    assert "dynamic_perplexity" not in found[None]
    assert found[0.003]["dynamic_perplexity"] < found[0.003]["perplexity"]
    assert found[0.003]["perplexity"] == found[None]["perplexity"]
    with pytest.raises(UserError, match=r"--dynamic-rate=-1.0 is below 0"):
        evaluate(folder, "test", None, None, None, -1.0)


def test_dynamic_evaluation_of_anything_else_is_refused(run_folder):
    with pytest.raises(UserError, match="--dynamic-rate: is for language models"):
        evaluate(run_folder, "test", None, None, None, 0.001)
