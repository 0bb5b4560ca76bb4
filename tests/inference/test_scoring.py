"""`seq2seq score` with files of all kinds, and what `seq2seq predict` writes beside predictions."""

import gzip
import json

import pytest

from seq2seq.errors import UserError
from seq2seq.inference.predict import predict_file
from seq2seq.inference.predictor import Predictor
from seq2seq.inference.scoring import score_file
from seq2seq.request import PredictionRequest, parse_settings


@pytest.fixture(scope="module")
def expected(run_folder, dates):
    pairs = [{"source": source, "target": target} for source, target in dates]
    return Predictor.load(run_folder).score(pairs)


@pytest.fixture
def score(run_folder, tmp_path):
    """Scores a file of some name and content, and returns the lines that are written."""

    def run(name, content, output_format=None):
        path = tmp_path / name
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        score_file([run_folder], str(path), (None, None), str(tmp_path / "out"), output_format, 5)
        return (tmp_path / "out").read_text().splitlines()

    return run


def tsv(rows):
    return "".join(f"{row['source']}\t{row['target']}\n" for row in rows)


def scores(rows):
    return pytest.approx([row["score"] for row in rows], abs=1e-4)


def test_columns(score, expected):
    assert [float(line) for line in score("a.tsv", tsv(expected))] == scores(expected)
    compressed = gzip.compress(tsv(expected).encode())
    columns = [line.split("\t") for line in score("a.tsv.gz", compressed, "tsv")]
    assert [column[:2] for column in columns] == [[r["source"], r["target"]] for r in expected]
    assert [float(column[2]) for column in columns] == scores(expected)


def test_jsonl_tells_each_token(score, expected):
    lines = score("a.jsonl", "\n".join(map(json.dumps, expected)), "jsonl")
    for row, other in zip(map(json.loads, lines), expected, strict=True):
        assert row["target_tokens"] == other["target_tokens"]
        assert row["token_scores"] == pytest.approx(other["token_scores"], abs=1e-4)


def test_two_files(run_folder, expected, tmp_path):
    sides = run_folder / "source", run_folder / "target"
    score_file([run_folder], None, sides, str(tmp_path / "out"), "text")
    assert [float(line) for line in (tmp_path / "out").read_text().split()] == scores(expected)


@pytest.mark.parametrize(
    ("pairs", "sides", "message"),
    [
        (None, (None, None), "either a file of pairs"),
        ("a.tsv", ("source", "target"), "either a file of pairs"),
        (None, ("source", None), "either a file of pairs"),
        (None, ("source", "missing"), "--target .*missing: no such file"),
        (None, ("source", "short"), "short: has only 2 lines, and the other file has more"),
        ("a.tsv", (None, None), r"a.tsv:2: 1 column\(s\), but 2 are needed"),
        ("a.jsonl", (None, None), "a.jsonl:1: there is no key 'target'"),
    ],
)
def test_mistakes(run_folder, tmp_path, pairs, sides, message):
    for name, content in {
        "a.tsv": "1 May\t2000\nonly\n",
        "a.jsonl": '{"source": "a"}\n',
        "source": "a\nb\nc\n",
        "short": "a\nb\n",
    }.items():
        (tmp_path / name).write_text(content)
    paths = tuple(None if side is None else tmp_path / side for side in sides)
    source = None if pairs is None else str(tmp_path / pairs)
    with pytest.raises(UserError, match=message):
        score_file([run_folder], source, paths, str(tmp_path / "out"), "text")
    assert not (tmp_path / "out").exists()


class TestPredictions:
    """Options of `seq2seq predict` beyond predictions."""

    @pytest.fixture
    def predict(self, run_folder, tmp_path):
        def run(content, output_format=None, name="in.txt", constraints=None, **options):
            (tmp_path / name).write_text(content)
            out = tmp_path / "out"
            request = PredictionRequest(**options)
            source = str(tmp_path / name)
            predict_file([run_folder], source, str(out), request, output_format, constraints)
            return out.read_text().splitlines()

        return run

    def test_n_best_are_lines_of_tsv(self, predict):
        options = {"decoding": "beam", "settings": {"maximum_length_ratio": 0.0}, "n_best": 3}
        lines = predict("1 May\n2 June\n", "tsv", **options)
        assert [line.split("\t")[0] for line in lines] == ["1 May"] * 3 + ["2 June"] * 3
        first = [float(line.split("\t")[2]) for line in lines[:3]]
        assert len(set(first)) == 3

    def test_extra_outputs_choose_the_format(self, predict):
        [line] = predict("1 May\n", token_scores=True)
        row = json.loads(line)
        assert sum(row["token_scores"]) == pytest.approx(row["score"], abs=1e-3)
        with pytest.raises(UserError, match="--token-scores: cannot be written with --format text"):
            predict("1 May\n", "text", token_scores=True)

    def test_own_constraints_override_common_ones(self, predict):
        lines = predict(
            '{"source": "1 May", "prefix": "20"}\n{"source": "2 June"}\n',
            name="in.jsonl",
            constraints={"prefix": "19"},
        )
        assert [line[:2] for line in lines] == ["20", "19"]

    def test_mistakes_in_constraints_name_their_line(self, predict):
        with pytest.raises(UserError, match=r"in\.jsonl:2: required: must be a list"):
            predict('\n{"source": "a", "required": "b"}\n', name="in.jsonl")


def test_settings_are_yaml():
    pairs = ["beam_size=10", "length_penalty.alpha=1e-1", "n_best=null", "name=a=b"]
    assert parse_settings(pairs) == {
        "beam_size": 10,
        "length_penalty.alpha": 0.1,
        "n_best": None,
        "name": "a=b",
    }
    for wrong in ("beam_size", "=3", "x=[1"):
        with pytest.raises(UserError, match="--set"):
            parse_settings([wrong])
