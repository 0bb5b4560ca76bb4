"""Files in columns through a run that has learned nothing, but labels."""

import gzip
import json

import keras
import numpy as np
import pytest
from omegaconf import OmegaConf

from seq2seq.config import build, composed
from seq2seq.errors import UserError
from seq2seq.inference.evaluation import evaluate
from seq2seq.inference.features import predict_features
from seq2seq.inference.predict import predict_file
from seq2seq.request import PredictionRequest
from seq2seq.tasks.model_folder import build_task, save_model_folder

UD = (
    "\ufeff# sent_id = 1\r\n"
    "1-2\tvámonos\t_\t_\t_\t_\t_\t_\t_\t_\n"
    "1\tvamos\tir\tVERB\t_\t_\t0\troot\t_\t_\r\n"
    "2\tnos\tnosotros\tPRON\t_\t_\t1\tobj\t_\t_\n"
    "2.1\tvamos\tir\tX\t_\t_\t_\t_\t_\t_\n"
    "\n"
    "# no words here\n"
    "\n"
    "1\tmar azul\tmar\tNOUN\t_\t_\t0\troot\t_\t_\n"
    "\n"
    "# the end"
)


@pytest.fixture(scope="module")
def run_folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("run")
    (folder / "train.conllu").write_bytes(UD.encode())
    config = composed(
        [
            "task=tagging",
            "data=conllu",
            "tokenizer=tokens",
            "model=tagger",
            "~decoding",
            f"data.directory={folder}",
            *(f"data.files.{split}=train.conllu" for split in ("train", "validation", "test")),
            "model.output=softmax",
            "model.encoder.units=4",
        ]
    )
    task = build_task(config)
    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.setenv("XDG_CACHE_HOME", str(folder / "cache"))
        task.prepare(build(config, "data"), seed=1)
    keras.utils.set_random_seed(1)
    model = build(config, "model", **task.model_arguments())
    save_model_folder(folder / "model", task, model, config)
    (folder / ".hydra").mkdir()
    OmegaConf.save(config, folder / ".hydra" / "config.yaml")
    return folder


def predict_columns(run_folder, source, target, output_format=None, constraints=None, **options):
    request = PredictionRequest(**options)
    predict_file([run_folder], source, str(target), request, output_format, constraints)


def rows_of(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_only_the_column_of_the_labels_changes(run_folder, tmp_path):
    emptied = UD
    for label in ("VERB", "PRON", "NOUN"):
        emptied = emptied.replace(label, "_")
    (tmp_path / "in.conllu.gz").write_bytes(gzip.compress(emptied.encode()))
    predict_columns(run_folder, str(tmp_path / "in.conllu.gz"), str(tmp_path / "out"), batch_size=1)
    predict_columns(run_folder, str(tmp_path / "in.conllu.gz"), str(tmp_path / "rows"), "jsonl")
    labels = [label for row in rows_of(tmp_path / "rows") for label in row["labels"]]
    assert len(labels) == 3
    written = (tmp_path / "out").read_bytes().decode()
    cells = {"vamos\tir\t_": 0, "nos\tnosotros\t_": 1, "mar azul\tmar\t_": 2}
    expected = emptied
    for cell, number in cells.items():
        expected = expected.replace(cell, cell[:-1] + labels[number], 1)
    assert written == expected


def test_other_columns_and_stdin(run_folder, tmp_path, monkeypatch):
    """A file that is no CoNLL-U has its words first and its labels last."""
    (tmp_path / "in.conll").write_text("-DOCSTART- O\n\nvamos  O\nnos\n\n")
    predict_columns(run_folder, str(tmp_path / "in.conll"), str(tmp_path / "out"))
    lines = (tmp_path / "out").read_text().split("\n")
    assert lines[:2] == ["-DOCSTART- O", ""]
    assert lines[2].startswith("vamos  ")
    assert lines[3].startswith("nos ")
    monkeypatch.setattr("seq2seq.inference.predict.input_path", lambda _: tmp_path / "in.conll")
    predict_columns(run_folder, "-", str(tmp_path / "again"), "conll")
    assert (tmp_path / "again").read_bytes() == (tmp_path / "out").read_bytes()


def test_raw_sentences_and_jsonl(run_folder, tmp_path):
    (tmp_path / "in.txt").write_text("vamos, nos!\n\n")
    (tmp_path / "in.jsonl").write_text('{"tokens": ["vamos", ",", "nos", "!"]}\n{"tokens": []}\n')
    for name in ("in.txt", "in.jsonl"):
        predict_columns(run_folder, str(tmp_path / name), tmp_path / f"{name}.rows", "jsonl")
    raw, lists = (rows_of(tmp_path / f"{name}.rows") for name in ("in.txt", "in.jsonl"))
    assert [row["source"] for row in raw] == ["vamos, nos!", ""]
    for one, other in zip(raw, lists, strict=True):
        assert one["tokens"] == other["tokens"]
        assert one["labels"] == other["labels"]
    predict_columns(run_folder, str(tmp_path / "in.txt"), tmp_path / "text", "text")
    assert (tmp_path / "text").read_text() == f"{raw[0]['prediction']}\n\n"
    predict_columns(run_folder, str(tmp_path / "in.txt"), tmp_path / "tsv", "tsv")
    assert (tmp_path / "tsv").read_text().startswith(f"vamos, nos!\t{raw[0]['prediction']}\t-")


def test_vectors_of_sentences(run_folder, tmp_path):
    """A sentence has one vector, whatever its file looks like."""
    from pyarrow import parquet

    (tmp_path / "in.conllu").write_bytes(UD.encode())
    (tmp_path / "in.jsonl").write_text('{"tokens": ["vamos", "nos"]}\n{"tokens": ["mar azul"]}\n')
    for name in ("in.conllu", "in.jsonl"):
        predict_features(
            run_folder, str(tmp_path / name), "all", str(tmp_path / f"{name}.parquet"), 8
        )
    columns, lists = (
        parquet.read_table(tmp_path / f"{name}.parquet").to_pydict()
        for name in ("in.conllu", "in.jsonl")
    )
    assert columns.pop("source") == lists.pop("source") == ["vamos nos", "mar azul"]
    for name, vectors in columns.items():
        np.testing.assert_array_equal(vectors, lists[name])


def test_evaluate_a_file_in_columns(run_folder, tmp_path, capsys):
    (tmp_path / "gold.conllu").write_bytes(UD.encode())
    scores = []
    for source in (None, tmp_path / "gold.conllu"):
        evaluate(run_folder, "test", source, None, None)
        scores.append(json.loads(capsys.readouterr().out))
    assert scores[0] == scores[1]
    predict_columns(run_folder, str(tmp_path / "gold.conllu"), str(tmp_path / "own.conllu"))
    evaluate(run_folder, "test", tmp_path / "own.conllu", None, None)
    assert json.loads(capsys.readouterr().out)["accuracy"] == 1


@pytest.mark.parametrize(
    ("text", "options", "message"),
    [
        ("1\n\n", {}, r"in.conllu:1: 1 column\(s\), but tokens are in column 1"),
        ("1\ta\t_\n", {"n_best": 2}, "--n-best: cannot be written with --format conll"),
        (
            "1\ta\t_\n",
            {"constraints": {"prefix": "x"}},
            "--prefix: does not apply to CoNLL files",
        ),
    ],
)
def test_mistakes(run_folder, tmp_path, text, options, message):
    (tmp_path / "in.conllu").write_text(text)
    with pytest.raises(UserError, match=message):
        predict_columns(run_folder, str(tmp_path / "in.conllu"), str(tmp_path / "out"), **options)
    assert not (tmp_path / "out").exists()
