"""Vectors of texts as files, against the encoder called by hand."""

import json
from types import SimpleNamespace

import numpy as np
import pytest

from seq2seq.errors import UserError
from seq2seq.inference.features import predict_features
from seq2seq.inference.predictor import Predictor

NAMES = ["source.layer_0.forward.h", "source.layer_0.backward.h"]


@pytest.fixture
def texts(dates, tmp_path):
    found = [source for source, _ in dates]
    (tmp_path / "in.txt").write_text("".join(f"{text}\n" for text in found))
    return found


@pytest.fixture
def encoded(run_folder, texts):
    """Each text's final states, encoded one by one."""
    predictor = Predictor.load(run_folder)
    model, tokenizer = predictor.model, predictor.task.tokenizer.source
    found = {name: [] for name in NAMES}
    for ids in tokenizer.encode(texts):
        vectors = model.source_embedding(ids[None])
        _, states = model.encoder(vectors, np.array([len(ids)]))
        for name in NAMES:
            found[name].append(states[0][name.split(".")[2]]["h"][0])
    return {name: np.array(rows) for name, rows in found.items()}


def write(run_folder, tmp_path, name, names):
    source, target = tmp_path / "in.txt", tmp_path / name
    predict_features(run_folder, str(source), names, str(target), batch_size=4)
    return target


def test_npy_holds_them_side_by_side(run_folder, tmp_path, encoded, capsys):
    path = write(run_folder, tmp_path, "a.npy", ",".join(NAMES))
    expected = np.concatenate([encoded[name] for name in NAMES], axis=1)
    np.testing.assert_allclose(np.load(path), expected, atol=1e-5)
    assert np.load(path).dtype == np.float32
    assert f"{NAMES[0]} (8), {NAMES[1]} (8)" in capsys.readouterr().err


def test_npz_holds_all_by_name(run_folder, tmp_path, encoded):
    with np.load(write(run_folder, tmp_path, "a.npz", "all")) as file:
        assert set(NAMES) < set(file)
        assert {name.rpartition(".")[2] for name in file} == {"h", "c"}
        for name in NAMES:
            np.testing.assert_allclose(file[name], encoded[name], atol=1e-5)


def test_parquet_holds_texts_and_vectors(run_folder, tmp_path, encoded, texts):
    from pyarrow import parquet

    table = parquet.read_table(write(run_folder, tmp_path, "a.parquet", NAMES[0]))
    assert table.column_names == ["source", NAMES[0]]
    assert table["source"].to_pylist() == texts
    np.testing.assert_allclose(table[NAMES[0]].to_pylist(), encoded[NAMES[0]], atol=1e-5)


@pytest.mark.parametrize(
    ("name", "names", "message"),
    [
        ("a.txt", "all", r"ends in \.npy, \.npz, \.parquet"),
        ("no/a.npy", "all", "there is no folder"),
        ("a.npy", "source.layer_0.forward", "nearest is 'source.layer_0.forward.[hc]'"),
    ],
)
def test_faults(run_folder, tmp_path, texts, name, names, message):
    with pytest.raises(UserError, match=message):
        write(run_folder, tmp_path, name, names)
    assert not list(tmp_path.glob("aside-*"))
    assert not (tmp_path / name).exists()


def test_records_are_read_by_their_fields(tmp_path):
    from seq2seq.inference.input_files import read_inputs

    def read_records(path, fields):
        task = SimpleNamespace(input_fields=fields, input_columns={})
        return [item.value for item in read_inputs(path, task)]

    record = {"text": "a", "x": "1"}
    (tmp_path / "a.tsv").write_text("a\t1\tmore\n")
    (tmp_path / "a.txt").write_text("a\t1\n")
    (tmp_path / "a.csv").write_text("x,y,text\n1,2,a\n")
    (tmp_path / "a.jsonl").write_text("\n" + json.dumps({**record, "y": 2}) + "\n")
    for name, line in (("a.tsv", 1), ("a.txt", 1), ("a.csv", 2), ("a.jsonl", 2)):
        [found] = read_records(tmp_path / name, ("text", "x"))
        assert found == record
        assert found.place == f"{tmp_path / name}:{line}"
    assert list(read_records(tmp_path / "a.txt", ("text",))) == [{"text": "a\t1"}]
    for name, message in (("a.txt", "2 column"), ("a.jsonl", "there is no key 'z'")):
        with pytest.raises(UserError, match=message):
            list(read_records(tmp_path / name, ("text", "x", "z")))
