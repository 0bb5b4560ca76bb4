"""What users give to a predictor: one text, nothing, numbers, lines of blanks."""

import json
import os
import pty
from pathlib import Path

import pandas as pd
import pytest

from seq2seq.errors import UserError
from seq2seq.inference.input_files import check_readable
from seq2seq.inference.predict import predict_file
from seq2seq.inference.predictor import Predictor
from seq2seq.request import PredictionRequest

BLANK = ["", "   ", "\t", "\u200b", "\u00a0", "\u3000", "\ufeff\u200d"]


@pytest.fixture(scope="module")
def predictor(run_folder):
    return Predictor.load(run_folder)


@pytest.mark.parametrize("inputs", [b"a text", {"source": "a"}, None, 3])
def test_what_is_no_list_is_refused(predictor, inputs):
    for call in (predictor, predictor.score, predictor.features):
        with pytest.raises(UserError, match=r"must be a text or a list, not"):
            call(inputs)


def test_a_text_has_a_row_and_pandas_has_frames(predictor, dates):
    texts = [source for source, _ in dates]
    rows = predictor(texts)
    assert predictor(texts[0])["prediction"] == rows[0]["prediction"]
    index = range(7, 7 + len(texts))
    for given in (
        pd.Series(texts, index=index),
        pd.DataFrame({"source": texts}, index=index),
        pd.DataFrame({"source": texts, "number": index}, index=index),
    ):
        frame = predictor(given)
        assert list(frame.index) == list(index)
        assert frame["prediction"].tolist() == [row["prediction"] for row in rows]


@pytest.mark.parametrize(
    "given", [None, 3, ["a", "b"], {"text": "a"}, {"source": 3}, b"a", "\ud800"]
)
def test_what_is_no_text_is_named_with_its_number(predictor, given):
    for call in (predictor, predictor.features):
        with pytest.raises(UserError, match=r"(input|record) 2"):
            call(["1. 1. 1980", given])
    with pytest.raises(UserError, match=r"(input|record) 2"):
        predictor.score([{"source": "a", "target": "b"}, {"source": "a", "target": given}])


def test_other_sequences_are_lists(predictor, dates):
    texts = [source for source, _ in dates[:3]]
    expected = predictor(texts)
    assert predictor(tuple(texts)) == predictor(iter(texts)) == expected
    with pytest.raises(UserError, match="batch_size"):
        predictor(texts, batch_size=0)


def test_nothing_comes_of_nothing(predictor, dates):
    source = dates[0][0]
    [alone] = predictor([source])
    rows = predictor([*BLANK, source])
    assert [row["prediction"] for row in rows[:-1]] == [""] * len(BLANK)
    assert [row["score"] for row in rows[:-1]] == [0.0] * len(BLANK)
    assert [row["source"] for row in rows] == [*BLANK, source]
    assert rows[-1]["prediction"] == alone["prediction"]
    several = predictor([*BLANK, source], decoding="beam", n_best=2, token_scores=True)
    for row in several[:-1]:
        assert [each["prediction"] for each in row["hypotheses"]] == [""]
    scored = predictor.score([{"source": blank, "target": blank} for blank in BLANK])
    assert [row["score"] for row in scored] == [0.0] * len(BLANK)
    for vectors in predictor.features([*BLANK, source]).values():
        assert not vectors[:-1].any()
        assert vectors[-1].any()


@pytest.mark.parametrize("output_format", ["text", "tsv", "jsonl"])
def test_a_line_out_for_each_line_in(run_folder, dates, tmp_path, output_format):
    texts = [*BLANK, dates[0][0]]
    (tmp_path / "in.txt").write_text("".join(f"{text}\n" for text in texts), encoding="utf-8")
    out = tmp_path / "out"
    predict_file(
        [run_folder], str(tmp_path / "in.txt"), str(out), PredictionRequest(), output_format
    )
    lines = out.read_text(encoding="utf-8").split("\n")
    assert len(lines) == len(texts) + 1
    if output_format == "text":
        assert lines[: len(BLANK)] == [""] * len(BLANK)
    elif output_format == "tsv":
        assert [line.split("\t")[1] for line in lines[: len(BLANK)]] == [""] * len(BLANK)
    else:
        assert [json.loads(line)["prediction"] for line in lines[: len(BLANK)]] == [""] * len(BLANK)


def test_devices_without_an_end_are_refused(tmp_path):
    for name in ("/dev/zero", "/dev/urandom"):
        with pytest.raises(UserError, match=f"{name}: is a device; give a file"):
            check_readable(Path(name))
    check_readable(Path("/dev/null"))
    terminal, other = pty.openpty()
    check_readable(Path(os.ttyname(other)))
    for handle in (terminal, other):
        os.close(handle)
    os.mkfifo(tmp_path / "pipe")
    check_readable(tmp_path / "pipe")
    with pytest.raises(UserError, match="no such file"):
        check_readable(tmp_path / "missing")
    with pytest.raises(UserError, match="--source x"):
        check_readable(Path("x" * 5000), "--source")


@pytest.mark.parametrize("field", ["prefix", "required", "forbidden", "allowed"])
def test_constraints_are_valid_unicode(predictor, dates, field):
    text = "\ud800"
    record = {"source": dates[0][0], field: text if field == "prefix" else ["1", text]}
    with pytest.raises(UserError, match=f"{field} holds an unpaired surrogate"):
        predictor([record])
