"""`seq2seq predict` with files of all kinds, against the same texts given to the model at once."""

import gzip
import json
import os
import re
import threading

import pytest

from seq2seq.errors import UserError
from seq2seq.inference.output_files import WRITERS
from seq2seq.inference.predict import predict_file
from seq2seq.inference.predictor import Predictor
from seq2seq.request import PredictionRequest


@pytest.fixture(scope="module")
def expected(run_folder, dates):
    return Predictor.load(run_folder)([source for source, _ in dates])


REQUEST = PredictionRequest()


@pytest.fixture
def predict(run_folder, tmp_path):
    """Predicts for a file of some name and content, and returns what is written."""

    def run(name, content, output_format="text", batch_size=64):
        path = tmp_path / name
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        request = PredictionRequest(batch_size)
        predict_file([run_folder], str(path), str(tmp_path / "out"), request, output_format)
        return written_to(tmp_path / "out")

    return run


def lines(texts):
    return "".join(f"{text}\n" for text in texts)


def texts_of(rows, key):
    return [row[key] for row in rows]


def on_one_line(text):
    return re.sub("[\n\r\t]", " ", text)  # a model that has learned nothing writes anything


def written_to(path):
    return path.read_bytes().decode().removesuffix("\n").split("\n")


class TestInput:
    """The same sources in every kind of file."""

    def check(self, predicted, expected):
        assert predicted == [on_one_line(row["prediction"]) for row in expected]

    def test_text(self, predict, expected):
        self.check(predict("a.txt", lines(texts_of(expected, "source"))), expected)

    def test_gzip(self, predict, expected):
        content = lines(texts_of(expected, "source")).encode()
        self.check(predict("a.txt.gz", gzip.compress(content)), expected)

    @pytest.mark.parametrize("name", ["a.tsv", "a.tsv.gz"])
    def test_the_first_column_of_tsv(self, predict, expected, name):
        content = lines(f"{source}\tother\t" for source in texts_of(expected, "source")).encode()
        self.check(
            predict(name, gzip.compress(content) if name.endswith(".gz") else content), expected
        )

    def test_jsonl_with_blank_lines(self, predict, expected):
        objects = [json.dumps({"id": 1, "source": row["source"]}) for row in expected]
        self.check(predict("a.jsonl", lines(["", *objects, " \t", ""])), expected)

    def test_a_pipe(self, run_folder, expected, tmp_path):
        os.mkfifo(tmp_path / "pipe")
        content = lines(texts_of(expected, "source"))
        writer = threading.Thread(target=(tmp_path / "pipe").write_text, args=(content,))
        writer.start()
        predict_file(
            [run_folder], str(tmp_path / "pipe"), str(tmp_path / "out"), PredictionRequest(), "text"
        )
        writer.join()
        self.check(written_to(tmp_path / "out"), expected)

    def test_no_lines_give_no_lines(self, predict):
        assert predict("a.txt", "") == [""]

    def test_empty_lines_keep_their_place(self, predict, expected):
        predicted = predict("a.txt", f"\n{expected[0]['source']}\n\n")
        assert predicted == ["", on_one_line(expected[0]["prediction"]), ""]


class TestOutput:
    """Formats, and where they go."""

    @pytest.mark.parametrize("batch_size", [1, 5, 100])
    def test_the_order_is_that_of_the_input(self, predict, expected, batch_size, monkeypatch):
        monkeypatch.setattr("seq2seq.inference.predict.CHUNK", 1)
        written = predict("a.txt", lines(texts_of(expected, "source")), "jsonl", batch_size)
        rows = [json.loads(line) for line in written]
        for key in ("source", "prediction"):
            assert texts_of(rows, key) == texts_of(expected, key)
        assert texts_of(rows, "score") == pytest.approx(texts_of(expected, "score"), rel=1e-4)

    def test_tsv(self, predict, expected):
        written = predict("a.txt", lines(texts_of(expected, "source")), "tsv")
        for line, row in zip(written, expected, strict=True):
            source, prediction, score = line.split("\t")
            assert (source, prediction) == (row["source"], on_one_line(row["prediction"]))
            assert float(score) == pytest.approx(row["score"], abs=1e-5)

    def test_one_line_for_each_input_whatever_is_in_it(self, predict):
        source = "7 août\r\n2051\tor\u2028so"
        (line,) = predict("a.jsonl", json.dumps({"source": source}), "tsv")
        assert line.split("\t")[0] == "7 août  2051 or\u2028so"
        (line,) = predict("a.jsonl", json.dumps({"source": source}), "jsonl")
        assert json.loads(line)["source"] == source

    @pytest.mark.parametrize(("output_format", "columns"), [("text", 1), ("tsv", 3)])
    def test_predictions_cannot_break_lines_or_columns(self, output_format, columns):
        row = {"source": "\ta\n", "prediction": "1\r2\n3\t4", "score": -1.5}
        line = WRITERS[output_format](row)
        assert not {"\n", "\r"} & set(line)
        assert "1 2 3 4" in line.split("\t")
        assert len(line.split("\t")) == columns

    def test_stdout(self, run_folder, tmp_path, expected, capsys):
        (tmp_path / "in").write_text(f"{expected[0]['source']}\n")
        predict_file([run_folder], str(tmp_path / "in"), "-", REQUEST, "jsonl")
        assert json.loads(capsys.readouterr().out)["prediction"] == expected[0]["prediction"]

    def test_a_pipe_is_written_to_and_not_replaced(self, run_folder, tmp_path, expected):
        os.mkfifo(tmp_path / "pipe")
        (tmp_path / "in").write_text(lines(texts_of(expected, "source")))
        read = []
        reader = threading.Thread(target=lambda: read.extend(written_to(tmp_path / "pipe")))
        reader.start()
        predict_file(
            [run_folder], str(tmp_path / "in"), str(tmp_path / "pipe"), PredictionRequest(), "jsonl"
        )
        reader.join()
        rows = map(json.loads, read)
        assert texts_of(rows, "prediction") == texts_of(expected, "prediction")
        assert (tmp_path / "pipe").is_fifo()

    def test_a_link_stays_one(self, run_folder, tmp_path):
        (tmp_path / "in").write_text("7 août 2051\n")
        (tmp_path / "elsewhere").write_text("before")
        (tmp_path / "link").symlink_to("elsewhere")
        predict_file(
            [run_folder], str(tmp_path / "in"), str(tmp_path / "link"), PredictionRequest(), "text"
        )
        assert (tmp_path / "link").is_symlink()
        assert (tmp_path / "elsewhere").read_text() != "before"


class TestMistakes:
    """Each with a message that says where."""

    @pytest.mark.parametrize(
        ("name", "content", "message"),
        [
            ("a.jsonl", b'{"source": "a"}\n\n{"source": "\\ud800"}\n', "3: .*unpaired surrogate"),
            ("a.jsonl", b'{"source": "a"}\n{"source": }\n', "2: malformed JSON"),
            ("a.jsonl", b'["a"]\n', "1: a JSON object is needed, not list"),
            ("a.jsonl", b'{"text": "a"}\n', "1: there is no key 'source' .*there are 'text'"),
            ("a.jsonl", b'{"source": null}\n', "1: the value of 'source' is not a text but null"),
            ("a.txt", b"a\nna\xefve\n", "2: invalid UTF-8"),
        ],
    )
    def test_in_a_line(self, predict, tmp_path, name, content, message):
        with pytest.raises(UserError, match=rf"{name}:{message}"):
            predict(name, content)
        assert [path.name for path in tmp_path.iterdir()] == [name]

    @pytest.mark.parametrize(
        ("source", "target", "batch_size", "message"),
        [
            ("missing.txt", "out", 64, r"missing\.txt: no such file"),
            (".", "out", 64, "is a folder"),
            ("in", "missing/out", 64, "missing/out: there is no folder .*missing"),
            ("in", ".", 64, "is a folder"),
            ("in", "out", 0, "batch_size"),
        ],
    )
    @pytest.mark.usefixtures("no_model")
    def test_before_the_model_is_loaded(self, tmp_path, source, target, batch_size, message):
        (tmp_path / "in").write_text("a\n")

        def predict():
            request = PredictionRequest(batch_size)
            predict_file([tmp_path], str(tmp_path / source), str(tmp_path / target), request)

        with pytest.raises(UserError, match=message):
            predict()
        assert [path.name for path in tmp_path.iterdir()] == ["in"]


def test_samples_of_a_file_are_those_of_all_its_lines_at_once(run_folder, tmp_path, monkeypatch):
    monkeypatch.setattr("seq2seq.inference.predict.CHUNK", 1)
    texts = ["7 May 2031"] * 5
    (tmp_path / "in").write_text(lines(texts))
    request = PredictionRequest(2, decoding="sampling", settings={"seed": 3})
    predict_file([run_folder], str(tmp_path / "in"), str(tmp_path / "out"), request, "jsonl")
    rows = [json.loads(line) for line in (tmp_path / "out").read_text("utf-8").splitlines()]
    at_once = Predictor.load(run_folder).predict(texts, request)
    assert texts_of(rows, "prediction") == texts_of(at_once, "prediction")
    assert len(set(texts_of(rows, "prediction"))) > 2
