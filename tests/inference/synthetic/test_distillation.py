"""`seq2seq distill`: what the student reads, and that a stopped command goes on."""

import hashlib
import json
import shlex

import pytest
from omegaconf import OmegaConf

from seq2seq.files import write_text
from seq2seq.inference.predictor import Predictor
from seq2seq.inference.synthetic.train_command import train_command
from seq2seq.request import PredictionRequest
from seq2seq.tasks.model_folder import save_model_folder
from tests.inference.synthetic.data_folders import contents, printed_data, records_in
from tests.language_run import prepared

TSV = ("data=tsv", "data.files.train=train.tsv", "data.files.validation=dev.tsv",
       "data.files.test=dev.tsv", "data.holdout=null")  # fmt: skip


@pytest.fixture
def teacher(run_on, tmp_path):
    """A run on seven pairs, two of them with blank or no letters."""
    (tmp_path / "train.tsv").write_text("ab\tx\ncd\ty\n \tz\nef\tu\n\u00e9\U0001f600\tv\ngh\tw\n")
    (tmp_path / "dev.tsv").write_text("ij\tone\ttwo\nkl\tthree\n")
    return run_on(*TSV, "data.further_targets=evaluate")


@pytest.mark.usefixtures("reversing")
def test_the_targets_are_the_translations_of_the_teacher(teacher, tmp_path, run_command):
    code, output = run_command("distill", teacher, "-o", tmp_path / "my data", "--shard-size", 2)
    assert code == 0
    sources = ["ab", "cd", "ef", "\u00e9\U0001f600", "gh"]
    expected = [{"source": source, "target": source[::-1]} for source in sources]
    assert records_in(tmp_path / "my data" / "train.jsonl") == expected
    data = printed_data(output.out)
    read = [(record["source"], record["target"]) for record in data.records("train")]
    assert read == [(pair["source"], pair["target"]) for pair in expected]
    for split in ("validation", "test"):
        references = [record["references"] for record in data.records(split)]
        assert references == [["one", "two"], ["three"]]
    assert not (tmp_path / "my data" / "shards").exists()


@pytest.mark.usefixtures("reversing")
def test_real_pairs_come_as_often_as_requested(teacher, tmp_path, run_command):
    run_command("distill", teacher, "-o", tmp_path / "data", "--real-copies", 2)
    pairs = [tuple(pair.values()) for pair in records_in(tmp_path / "data" / "train.jsonl")]
    assert pairs[:6] == pairs[6:12]
    assert pairs[:2] == [("ab", "x"), ("cd", "y")]
    assert len(pairs) == 6 + 6 + 5


@pytest.mark.usefixtures("reversing")
def test_the_manifest_names_teachers_search_and_digests(teacher, run_folder, tmp_path, run_command):
    folder = tmp_path / "data"
    options = ("--ensemble", run_folder, "--set", "beam_size=7", "length_penalty.alpha=0.9")
    assert run_command("distill", teacher, "-o", folder, *options)[0] == 0
    manifest = json.loads((folder / "manifest.json").read_text("utf-8"))
    assert manifest["complete"] is True
    assert manifest["origin"]["runs"] == [str(teacher), str(run_folder)]
    sums = (teacher / "model" / "checksums.json").read_bytes()
    assert manifest["plan"]["models"][0] == hashlib.sha256(sums).hexdigest()
    search = manifest["plan"]["decoding"]
    assert search["_target_"] == "seq2seq.decoding.beam.BeamSearch"
    assert (search["beam_size"], search["length_penalty"]["alpha"]) == (7, 0.9)
    for name, file in manifest["files"].items():
        content = (folder / name).read_bytes()
        assert file["sha256"] == hashlib.sha256(content).hexdigest()
        assert file["records"] == content.count(b"\n")


def test_a_stopped_command_goes_on(teacher, tmp_path, run_command, reversing, monkeypatch):
    arguments = ("distill", teacher, "--shard-size", 2, "-o")
    run_command(*arguments, tmp_path / "at_once")
    reversing.clear()
    translate = Predictor.predict

    def stopped(self, inputs, request=None):
        if "gh" in inputs:
            raise KeyboardInterrupt
        return translate(self, inputs, request)

    with monkeypatch.context() as patched:
        patched.setattr(Predictor, "predict", stopped)
        assert run_command(*arguments, tmp_path / "again")[0] == 130
    assert not (tmp_path / "again" / "train.jsonl").exists()
    (tmp_path / "again" / "shards" / "00001.jsonl").write_text('{"text": "ef", "trans')  # damaged
    reversing.clear()
    assert run_command(*arguments, tmp_path / "again")[0] == 0
    assert reversing == ["ef", "\u00e9\U0001f600", "gh"]  # not those of the first shard
    assert contents(tmp_path / "again") == contents(tmp_path / "at_once")


def test_complete_data_are_not_made_again(teacher, tmp_path, run_command, reversing):
    arguments = ("distill", teacher, "-o", tmp_path / "data")
    _, first = run_command(*arguments)
    reversing.clear()
    code, second = run_command(*arguments)
    assert (code, reversing, second.out) == (0, [], first.out)
    write_text(tmp_path / "data" / "train.jsonl", "{}\n")
    code, output = run_command(*arguments)
    assert code == 2
    assert "train.jsonl: is not as it was written" in output.err


@pytest.mark.usefixtures("reversing")
def test_data_of_another_command_are_not_continued(teacher, tmp_path, run_command):
    run_command("distill", teacher, "-o", tmp_path / "data")
    code, output = run_command("distill", teacher, "-o", tmp_path / "data", "--real-copies", 1)
    assert code == 2
    assert "real_copies: 0 there, 1 now" in output.err
    code, output = run_command("distill", teacher, "-o", tmp_path)
    assert code == 2
    assert "holds other files" in output.err


def test_samples_depend_on_the_number_of_their_text_alone(run_on, tmp_path, run_command):
    (tmp_path / "train.tsv").write_text("7 May 2031\tx\n" * 5)
    (tmp_path / "dev.tsv").write_text("7 May 2031\tx\n")
    teacher = run_on(*TSV)
    request = PredictionRequest(decoding="sampling", settings={"seed": 3})
    rows = Predictor.load(teacher).predict(["7 May 2031"] * 5, request)
    expected = [row["prediction"] for row in rows]
    assert len(set(expected)) > 2
    for size in (1, 2, 5):
        options = ("--decoding", "sampling", "--set", "seed=3", "--shard-size", size)
        code, _ = run_command("distill", teacher, "-o", tmp_path / f"data_{size}", *options)
        assert code == 0
        pairs = records_in(tmp_path / f"data_{size}" / "train.jsonl")
        assert [pair["target"] for pair in pairs] == expected


def test_the_student_is_trained_like_the_teacher(tmp_path):
    overrides = [
        "recipe=translation/multi30k_en_de", "seed=3", "data.directory=/x", "+data.files.more=y",
        "hydra.run.dir=z", "init_from=w", "tokenizer=bpe", "trainer.epochs=5",
    ]  # fmt: skip
    write_text(tmp_path / ".hydra" / "overrides.yaml", json.dumps(overrides))
    files = [f"data.files.{split}={split}.jsonl" for split in ("train", "validation", "test")]
    data = ["data=jsonl", "data.directory=/my/data", *files, "data.holdout=null"]
    own = ["translation/multi30k_en_de", "seed=3", "tokenizer=bpe", "trainer.epochs=5"]
    command = train_command(tmp_path, tmp_path.joinpath("/my/data"))
    assert shlex.split(command) == ["seq2seq", "train", *own, *data]
    # A recipe that is not there any more, and a run that does not have its overrides.
    write_text(tmp_path / ".hydra" / "overrides.yaml", '["recipe=nowhere"]')
    for folder in (tmp_path, tmp_path / "none"):
        command = train_command(folder, tmp_path.joinpath("/my/data"))
        assert shlex.split(command) == ["seq2seq", "train", "translation/own_data", *data]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--decoding", "beem"], "decoding=beem: no such search; the nearest is 'beam'"),
        (["--set", "beam=3"], "decoding.beam: BeamSearch has no such setting"),
        (["--set", "beam_size=0"], "beam_size: must be at least 1"),
        (["--shard-size", "0"], "--shard-size: must be at least 1"),
        (["--batch-size", "0"], "--batch-size: must be at least 1"),
        (["--real-copies", "-1"], "--real-copies: must not be negative"),
    ],
)
def test_mistakes_leave_no_folder(options, message, teacher, tmp_path, run_command):
    code, output = run_command("distill", teacher, "-o", tmp_path / "data", *options)
    assert code == 2
    assert message in output.err
    assert not (tmp_path / "data").exists()


def test_only_translations_have_students(teacher, tmp_path, run_command):
    config, task, model = prepared(tmp_path)
    save_model_folder(tmp_path / "lm" / "model", task, model, config)
    (tmp_path / "lm" / ".hydra").mkdir()
    OmegaConf.save(config, tmp_path / "lm" / ".hydra" / "config.yaml")
    code, output = run_command("distill", tmp_path / "lm", "-o", tmp_path / "data")
    assert code == 2
    assert "is a run of Generation; distill needs runs of task=translation" in output.err
    code, output = run_command("distill", teacher / "model", "-o", tmp_path / "data")
    assert code == 2
    assert "does not say what its training data are" in output.err
