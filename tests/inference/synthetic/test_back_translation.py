"""`seq2seq augment`: synthetic sources of real targets, beside real pairs."""

import gzip
import json

import pytest

from seq2seq.files import write_text
from seq2seq.inference.synthetic.back_translation import spread
from tests.inference.synthetic.data_folders import printed_data, records_in

TSV = ("data=tsv", "data.files.train=train.tsv", "data.files.validation=dev.tsv",
       "data.files.test=dev.tsv", "data.holdout=null")  # fmt: skip
REAL = [("ab", "AB"), ("cd", "CD"), ("ef", "EF"), ("gh", "GH")]
LINES = [f"{number} lines" for number in range(10)]


@pytest.fixture
def reverse(run_on, tmp_path):
    """A run from upper to lower case, with monolingual texts `mono.txt` and `more.txt.gz`."""
    (tmp_path / "train.tsv").write_text("".join(f"{up}\t{low}\n" for low, up in REAL))
    (tmp_path / "dev.tsv").write_text("XY\txy\n")
    (tmp_path / "mono.txt").write_text("\n\n".join(LINES[:6]) + "\n \n")
    (tmp_path / "more.txt.gz").write_bytes(gzip.compress("\n".join(LINES[6:]).encode()))
    return run_on(*TSV)


def pairs_in(folder):
    return [(pair["source"], pair["target"]) for pair in records_in(folder / "train.jsonl")]


@pytest.mark.usefixtures("reversing")
def test_real_pairs_and_tagged_synthetic_ones(reverse, tmp_path, run_command):
    texts = (tmp_path / "mono.txt", tmp_path / "more.txt.gz")
    options = ("-o", tmp_path / "data", "--tag", "<BT>", "--shard-size", 3)
    code, output = run_command("augment", reverse, *texts, *options)
    assert code == 0
    synthetic = [(f"<BT> {line[::-1]}", line) for line in LINES]
    assert pairs_in(tmp_path / "data") == REAL + synthetic
    assert "4 real, 10 synthetic" in output.out
    data = printed_data(output.out)
    assert [tuple(record.values()) for record in data.records("test")] == [("xy", "XY")]
    assert [tuple(record.values()) for record in data.records("train")] == REAL + synthetic


def test_a_ratio_takes_lines_from_all_over(reverse, tmp_path, run_command, reversing):
    texts, folder = (tmp_path / "mono.txt", tmp_path / "more.txt.gz"), tmp_path / "data"
    options = ("--ratio", 0.625, "--real-copies", 2, "-o", folder)
    assert run_command("augment", reverse, *texts, *options)[0] == 0
    assert reversing == LINES[1::2]  # 5 beside 2 * 4 real pairs
    assert pairs_in(folder) == REAL * 2 + [(line[::-1], line) for line in LINES[1::2]]
    counts = json.loads((folder / "manifest.json").read_text("utf-8"))["counts"]
    assert counts == {"real": 8, "synthetic": 5}


@pytest.mark.parametrize("available", range(1, 13))
def test_lines_are_at_even_distances(available):
    for count in range(1, available + 1):
        numbers = list(spread(range(available), available, count))
        distances = {after - before for before, after in zip(numbers, numbers[1:], strict=False)}
        assert len(numbers) == count
        assert distances <= {available // count, -(-available // count)}


@pytest.mark.usefixtures("reversing")
def test_real_pairs_and_settings_of_a_run_in_the_other_direction(
    reverse, run_on, tmp_path, run_command
):
    (tmp_path / "forward.tsv").write_text("a\tA\n")
    files = ("data.files.train=forward.tsv", "data.files.test=forward.tsv")
    forward = run_on(*TSV, *files, name="forward")
    write_text(forward / ".hydra" / "overrides.yaml", '["tokenizer=word", "seed=5"]')
    options = ("--forward", forward, "-o", tmp_path / "data")
    code, output = run_command("augment", reverse, tmp_path / "more.txt.gz", *options)
    assert code == 0
    assert pairs_in(tmp_path / "data")[:2] == [("a", "A"), (LINES[6][::-1], LINES[6])]
    assert "seq2seq train tokenizer=word seed=5 data=jsonl" in output.out


def test_empty_translations_are_left_out(reverse, tmp_path, run_command, monkeypatch):
    def predict(self, inputs, request=None):
        return [{"source": t, "prediction": t[:1].strip("1"), "score": 0.0} for t in inputs]

    monkeypatch.setattr("seq2seq.inference.predictor.Predictor.predict", predict)
    options = ("-o", tmp_path / "data", "--tag", "<BT>", "--real-copies", 0)
    code, output = run_command("augment", reverse, tmp_path / "mono.txt", *options)
    assert code == 0
    assert [source for source, _ in pairs_in(tmp_path / "data")] == [f"<BT> {n}" for n in "02345"]
    assert "1 empty translations" in output.out


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--ratio", "3"], "--ratio 3: needs 12 lines beside 4 real pairs (1x)"),
        (["--ratio", "nan"], "--ratio: must be above 0"),
        (["--ratio", "1", "--real-copies", "0"], "--real-copies 0 leaves them out"),
        (["--tag", "b t"], "--tag: must be one token without white space"),
        (["--tag", "ab"], "--tag ab: is a token of a real source already"),
        (["--forward", "nowhere"], "nowhere: does not say what its training data are"),
    ],
)
def test_mistakes_leave_no_folder(options, message, reverse, tmp_path, run_command):
    output_folder = ("-o", tmp_path / "data")
    code, output = run_command("augment", reverse, tmp_path / "mono.txt", *output_folder, *options)
    assert code == 2
    assert message in output.err
    assert not (tmp_path / "data").exists()


def test_a_missing_text_is_named(reverse, tmp_path, run_command):
    code, output = run_command("augment", reverse, "nowhere.txt", "-o", tmp_path / "data")
    assert code == 2
    assert "nowhere.txt: no such file" in output.err
