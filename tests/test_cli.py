"""The command, as a person uses it, on a few hundred real dates.

Most tests run it in a fork of a process that has imported the libraries, which saves their seconds.
"""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import h5py
import numpy as np
import pytest
from omegaconf import OmegaConf

from seq2seq.cli import main
from seq2seq.data.embedded.cldr_dates import date_examples
from seq2seq.inference.predictor import Predictor
from seq2seq.report import SAMPLES
from seq2seq.run_folder import checkpoint_paths
from tests.forked_commands import forked_seq2seq

SEQ2SEQ = [sys.executable, "-c", "from seq2seq.cli import main; main()"]
SPLITS = ("train", "validation", "test")
FILES = (
    "data=parallel_text",
    *(f"data.{side}.{split}={split}.{side}" for side in ("source", "target") for split in SPLITS),
)
SMALL = (
    "task.metrics=[exact_match,bleu]",
    "model.encoder.units=16",
    "model.decoder.units=24",
    "model.embedding_dim=16",
)


def command(*arguments, cwd, program=None, **options):
    """Runs the command to its end; in a fork, unless there is a program that starts it."""
    return subprocess.run(
        [*(program or [forked_seq2seq()]), *map(str, arguments)],
        cwd=cwd,
        env=environment(cwd),
        capture_output=True,
        timeout=300,
        check=False,
        **options,
    )


def environment(cwd):
    return {**os.environ, "XDG_CACHE_HOME": str(cwd / "cache"), "COLUMNS": "80"}


def train_arguments(data, run, *more):
    return ("train", *SMALL, *FILES, f"data.directory={data}", f"hydra.run.dir={run}", *more)


@pytest.fixture(scope="module")
def workplace(tmp_path_factory):
    """A folder outside the repository, with data and a trained run."""
    folder = tmp_path_factory.mktemp("work place")
    (folder / "data").mkdir()
    for split, count in (("train", 400), ("validation", 40), ("test", 40)):
        examples = [e for e, _ in zip(date_examples(split), range(count), strict=False)]
        for side in ("source", "target"):
            text = "".join(f"{getattr(example, side)}\n" for example in examples)
            (folder / "data" / f"{split}.{side}").write_text(text)
    arguments = train_arguments(folder / "data", "first", "trainer.epochs=2")
    done = command(*arguments, cwd=folder, program=SEQ2SEQ)
    assert done.returncode == 0, done.stderr.decode()
    (folder / "report.txt").write_bytes(done.stdout)
    (folder / "log.txt").write_bytes(done.stderr)
    return folder


def test_a_run_is_a_folder(workplace):
    run = workplace / "first"
    for name in (
        ".hydra/config.yaml",
        "metrics.json",
        "environment.json",  # which README.md names
        "predictions/validation.jsonl",
        "predictions/test.jsonl",
        "checkpoints/last_14.weights.h5",
        "checkpoints/best_14.weights.h5",
        "model/model.weights.h5",
        "model/tokenizer/source.json",
        "plots/curves.png",
        "train.log",
    ):
        assert (run / name).stat().st_size > 0
    metrics = json.loads((run / "metrics.json").read_text())
    for split in ("validation", "test"):
        assert set(metrics[split]) == {"bleu", "exact_match", "loss", "perplexity"}
        np.testing.assert_allclose(metrics[split]["perplexity"], np.exp(metrics[split]["loss"]))
    assert metrics["training"]["steps"] == 14
    assert metrics["training"]["epochs"] == 2
    assert metrics["training"]["target_tokens_per_second"] > 0
    assert "version" in metrics["signatures"]["bleu"]
    assert not list(run.rglob("aside-*"))


def test_a_run_is_named_by_its_id(workplace):
    listed = command("runs", "--best", cwd=workplace)
    assert listed.returncode == 0, listed.stderr.decode()
    first = listed.stdout.decode().splitlines()[1]
    done = command("predict", first.split()[0], input=b"7/8/2051\n", cwd=workplace)
    assert done.returncode == 0, done.stderr.decode()
    assert done.stdout == command("predict", "first", input=b"7/8/2051\n", cwd=workplace).stdout
    missing = command("predict", "0123456789", input=b"", cwd=workplace)
    assert missing.returncode == 2
    assert b"neither a run folder nor a run id" in missing.stderr


def test_the_report_says_what_a_person_wants_to_know(workplace):
    report = (workplace / "report.txt").read_text()
    assert report.startswith("bleu ")
    assert report.count("prediction ") == SAMPLES
    assert "seq2seq predict" in report
    assert "mlflow ui --backend-store-uri" in report


def test_the_log_says_what_is_done(workplace):
    lines = (workplace / "log.txt").read_text().splitlines()
    steps = [
        "starting TensorFlow",
        "composing the config",
        "loading the libraries",
        "checking the model",
        "reading the data",
        "fitting the tokenizers",
        "encoding the train data",
        "planning the batches",
        "building the model",
        "starting the tracked run",
        "logging the data",
        "epoch 1/2",
        "tracing and running the first training step",
        "validating",
        "saving the best checkpoint",
        "epoch 2/2",
        "loading the best checkpoint",
        "saving the model",
        "scoring validation",
        "scoring test",
        "measuring the test loss",
        "writing the results",
        "drawing the figures",
        "logging the results",
        "logging the run folder",
    ]
    assert [line for line in dict.fromkeys(lines) if line in steps] == steps
    assert any(line.startswith("epoch 2/2: loss") for line in lines)
    assert not [line for line in lines if "\x1b" in line or "Traceback" in line]


def test_the_run_is_tracked(workplace):
    from mlflow import MlflowClient

    client = MlflowClient(f"sqlite:///{workplace / 'mlflow.db'}")
    run = client.get_run((workplace / "first" / "mlflow_run_id").read_text().strip())
    assert run.info.status == "FINISHED"
    assert run.data.params["model.encoder.units"] == "16"
    assert run.data.tags["task"] == "translation"
    assert run.data.metrics["test_loss"] > 0
    history = client.get_metric_history(run.info.run_id, "val_loss")
    assert [point.step for point in history] == [7, 14]
    artifacts = {item.path for item in client.list_artifacts(run.info.run_id)}
    assert {"model", "plots", "predictions", "samples.json", "metrics.json"} <= artifacts


def test_a_new_process_predicts_what_the_training_did(workplace):
    expected = [
        json.loads(line)
        for line in (workplace / "first" / "predictions" / "test.jsonl").read_text().splitlines()
    ]
    moved = workplace / "moved"
    (workplace / "first").rename(moved)
    try:
        source = (workplace / "data" / "test.source").read_bytes()
        arguments = ("predict", moved, "--format", "jsonl")
        done = command(*arguments, cwd=workplace, input=source, program=SEQ2SEQ)
    finally:
        moved.rename(workplace / "first")
    assert done.returncode == 0, done.stderr.decode()
    rows = [json.loads(line) for line in done.stdout.decode().splitlines()]
    for row, before in zip(rows, expected, strict=True):
        assert row["prediction"] == before["prediction"]
        assert row["score"] == pytest.approx(before["score"], rel=1e-5)


def test_predict_reads_files_and_writes_files_whole(workplace, capsys):
    sources = (workplace / "data" / "test.source").read_text().splitlines()
    (workplace / "in.tsv").write_text("".join(f"{text}\tmore\n" for text in sources[:3]))
    (workplace / "in.jsonl").write_text(
        "".join(json.dumps({"source": text}) + "\n" for text in sources[:3])
    )
    run = str(workplace / "first")
    outputs = []
    for name, style in (("in.tsv", "tsv"), ("in.jsonl", "text")):
        arguments = ["predict", run, str(workplace / name), "-o", str(workplace / "out")]
        with pytest.raises(SystemExit, match="0"):
            main([*arguments, "--format", style])
        outputs.append((workplace / "out").read_text().splitlines())
    assert [line.split("\t")[0] for line in outputs[0]] == sources[:3]
    assert [line.split("\t")[1] for line in outputs[0]] == outputs[1]
    (workplace / "in.jsonl").write_text('{"source": "1 May 2000"}\n{"sauce": 3}\n')
    with pytest.raises(SystemExit, match="2"):
        main(["predict", run, str(workplace / "in.jsonl"), "-o", str(workplace / "other")])
    assert "in.jsonl:2" in capsys.readouterr().err
    assert not (workplace / "other").exists()


def test_evaluate_gives_the_scores_of_the_run(workplace):
    run = workplace / "first"
    expected = json.loads((run / "metrics.json").read_text())["test"]
    by_split = command("evaluate", run, cwd=workplace)
    assert by_split.returncode == 0, by_split.stderr.decode()
    scores = json.loads(by_split.stdout)
    assert scores["bleu"] == pytest.approx(expected["bleu"])
    assert scores["exact_match"] == expected["exact_match"]


def weights(path: Path) -> dict[str, np.ndarray]:
    found: dict[str, np.ndarray] = {}
    with h5py.File(path) as file:
        file.visititems(
            lambda name, node: (
                found.update({name: node[()]}) if isinstance(node, h5py.Dataset) else None
            )
        )
    return found


def assert_same_weights(one: Path, other: Path) -> None:
    left, right = (
        weights(checkpoint_paths(run / "checkpoints", "last")[0]) for run in (one, other)
    )
    assert left.keys() == right.keys()
    for name, value in left.items():
        np.testing.assert_array_equal(value, right[name], err_msg=name)


def test_the_same_seed_gives_bit_identical_weights(workplace):
    again = train_arguments(workplace / "data", "again", "trainer.epochs=2", "tracking=none")
    assert command(*again, cwd=workplace, program=SEQ2SEQ).returncode == 0
    assert_same_weights(workplace / "first", workplace / "again")


def test_a_prepared_tfds_folder_gives_the_same_run_as_the_files(workplace):
    import tensorflow_datasets as tfds

    class Pairs(tfds.core.GeneratorBasedBuilder):
        """The same records, in the shuffled order that TFDS stores."""

        VERSION = tfds.core.Version("1.0.0")

        def _info(self):
            features = tfds.features.FeaturesDict(
                {"en": tfds.features.Text(), "iso": tfds.features.Text()}
            )
            return tfds.core.DatasetInfo(builder=self, features=features)

        def _split_generators(self, dl_manager):
            return {split: self._generate_examples(split) for split in SPLITS}

        def _generate_examples(self, split):
            sides = [
                (workplace / "data" / f"{split}.{side}").read_text().splitlines()
                for side in ("source", "target")
            ]
            for number, (source, target) in enumerate(zip(*sides, strict=True)):
                yield number, {"en": source, "iso": target}

    Pairs(data_dir=workplace / "tfds").download_and_prepare()
    done = command(
        "train",
        *SMALL,
        "data=tfds",
        "data.name=pairs",
        "data.directory=tfds",
        "data.features.source=en",
        "data.features.target=iso",
        "hydra.run.dir=from tfds",
        "trainer.epochs=2",
        "tracking=none",
        cwd=workplace,
    )
    assert done.returncode == 0, done.stderr.decode()
    assert_same_weights(workplace / "first", workplace / "from tfds")
    ours, theirs = (
        json.loads((workplace / run / "metrics.json").read_text()) for run in ("first", "from tfds")
    )
    assert ours["test"] == pytest.approx(theirs["test"], rel=1e-6)


def test_ctrl_c_and_resume_equal_not_having_stopped(workplace):
    options = ("trainer.epochs=60", "model.output_dropout=0.2", "trainer.log_every=1")
    arguments = train_arguments(workplace / "data", "stopped", *options)
    process = subprocess.Popen(
        [*SEQ2SEQ, *arguments], cwd=workplace, env=environment(workplace), stderr=subprocess.PIPE
    )
    log = workplace / "stopped" / "train.log"
    until = time.monotonic() + 120
    while not (log.exists() and "epoch 1/60" in log.read_text()):
        assert process.poll() is None
        assert time.monotonic() < until
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    message = process.communicate(timeout=120)[1].decode()
    assert process.returncode == 130
    assert re.search(r"resume with\n  seq2seq train resume=.*stopped", message)
    assert "Traceback" not in message
    stopped = workplace / "stopped"
    assert (stopped / "model" / "format.json").exists()
    from mlflow import MlflowClient

    client = MlflowClient(f"sqlite:///{workplace / 'mlflow.db'}")
    run_id = (stopped / "mlflow_run_id").read_text().strip()
    assert client.get_run(run_id).info.status == "KILLED"

    with h5py.File(checkpoint_paths(stopped / "checkpoints", "last")[0]) as file:
        epochs = json.loads(file.attrs["seq2seq"])["epoch"] + 2
    more = f"trainer.epochs={epochs}"
    whole = train_arguments(workplace / "data", "whole", *options[1:], more, "tracking=none")
    assert command(*whole, cwd=workplace).returncode == 0
    resumed = command("train", "resume=stopped", more, cwd=workplace)
    assert resumed.returncode == 0, resumed.stderr.decode()
    assert_same_weights(stopped, workplace / "whole")
    assert client.get_run(run_id).info.status == "FINISHED"
    assert (
        more.replace("trainer.", "  ").replace("=", ": ")
        in (stopped / ".hydra" / "config.yaml").read_text()
    )
    # A run of a version that did not know a key yet goes on with the key's default.
    saved = stopped / ".hydra" / "config.yaml"
    config = OmegaConf.load(saved)
    default = config.pop("initial_encoder")
    OmegaConf.save(config, saved)
    again = command("train", "resume=stopped", "tracking=none", cwd=workplace)
    assert again.returncode == 0, again.stderr.decode()
    assert OmegaConf.load(saved).initial_encoder == default


def test_the_same_command_goes_on_with_the_run(workplace):
    """Killed at once: after a first checkpoint, and before any."""
    options = ("trainer.epochs=4", "trainer.log_every=1", "trainer.checkpoint_steps=3")
    whole = train_arguments(workplace / "data", "unbroken", *options, "tracking=none")
    assert command(*whole, "resume=never", cwd=workplace).returncode == 0
    arguments = train_arguments(workplace / "data", "killed", *options)
    killed = workplace / "killed"
    for wanted in (killed / "train.log", killed / "checkpoints" / "last_6.weights.h5"):
        process = subprocess.Popen(
            [*SEQ2SEQ, *arguments], cwd=workplace, env=environment(workplace)
        )
        until = time.monotonic() + 120
        while not wanted.exists():
            assert process.poll() is None
            assert time.monotonic() < until
            time.sleep(0.01)
        process.kill()
        process.wait()
    changed = command(*arguments, "seed=7", "optimizer.learning_rate=9", cwd=workplace)
    assert changed.returncode == 2
    words = rb"optimizer.learning_rate: 0.00\d+ there, 9 now\s+seed: 1 there, 7 now"
    assert re.search(words, changed.stderr)
    assert b"resume_changes=[optimizer.learning_rate,seed]" in changed.stderr
    assert command(*arguments, "resume=never", cwd=workplace).returncode == 2
    done = command(*arguments, "resume=must", cwd=workplace)
    assert done.returncode == 0, done.stderr.decode()
    assert "resuming after epoch" in (killed / "train.log").read_text()
    assert_same_weights(killed, workplace / "unbroken")
    ours, theirs = (
        json.loads((folder / "metrics.json").read_text())
        for folder in (killed, workplace / "unbroken")
    )
    assert (ours["test"], ours["validation"]) == (theirs["test"], theirs["validation"])
    from mlflow import MlflowClient

    client = MlflowClient(f"sqlite:///{workplace / 'mlflow.db'}")
    run_id = (killed / "mlflow_run_id").read_text().strip()
    losses = client.get_metric_history(run_id, "train_loss")
    assert sorted(point.step for point in losses if point.step % 7) == [
        step for step in range(1, 29) if step % 7
    ]
    assert len([run for run in client.search_runs(["1"]) if "killed" in str(run.data.tags)]) == 1


def test_what_mlflow_did_not_get_is_sent_later(workplace):
    """A copy of a run whose store is gone: all of it comes into a new one, once."""
    from mlflow import MlflowClient

    shutil.copytree(workplace / "first", workplace / "copy")
    for _ in range(2):
        done = command("sync", "copy", "--tracking-uri", "sqlite:///other.db", cwd=workplace)
        assert done.returncode == 0, done.stderr.decode()
    run_id = (workplace / "copy" / "mlflow_run_id").read_text().strip()
    assert f"copy: in MLflow, run {run_id}" in done.stdout.decode()
    client = MlflowClient(f"sqlite:///{workplace / 'other.db'}")
    [run] = client.search_runs(["1"])
    assert (run.info.run_id, run.info.status) == (run_id, "FINISHED")
    metrics = json.loads((workplace / "copy" / "metrics.json").read_text())
    assert run.data.metrics["test_bleu"] == metrics["test"]["bleu"]
    assert run.data.params["trainer.epochs"] == "2"
    for name in ("train_loss", "val_loss", "test_bleu"):
        steps = [point.step for point in client.get_metric_history(run_id, name)]
        assert steps == sorted(set(steps))
        assert steps
    names = {each.path for each in client.list_artifacts(run_id)}
    assert {"metrics.json", "predictions", "plots"} <= names
    assert "checkpoints" not in names
    nothing = command("sync", "data", cwd=workplace)
    assert nothing.returncode == 2
    assert "is not a run folder" in nothing.stderr.decode()


@pytest.mark.parametrize(
    ("number", "handler", "code"),
    [
        (signal.SIGTERM, "SIG_DFL", 143),
        (signal.SIGHUP, "SIG_DFL", 129),
        (signal.SIGHUP, "SIG_IGN", 0),  # as nohup does
    ],
)
def test_signals_end_with_their_exit_codes(workplace, number, handler, code):
    folder = f"signal {number} {handler}"
    epochs = "trainer.epochs=500" if code else "trainer.epochs=20"
    arguments = train_arguments(workplace / "data", folder, epochs, "tracking=none")
    program = f"import signal; signal.signal({number:d}, signal.{handler})\n{SEQ2SEQ[-1]}"
    process = subprocess.Popen(
        [*SEQ2SEQ[:-1], program, *arguments], cwd=workplace, env=environment(workplace)
    )
    log = workplace / folder / "train.log"
    until = time.monotonic() + 120
    while not (log.exists() and "epoch 1/" in log.read_text()):
        assert process.poll() is None
        assert time.monotonic() < until
        time.sleep(0.05)
    process.send_signal(number)
    assert process.wait(timeout=120) == code


@pytest.mark.parametrize(
    ("overrides", "words"),
    [
        (["resume=must"], "name the folder of the run"),
        (["resume=must", "hydra.run.dir=nowhere"], "resume=must: there is no run in"),
        (["resume_changes=seed"], "must be a list"),
    ],
)
def test_resume_settings_that_cannot_be_are_refused(workplace, overrides, words):
    done = command("train", "translation/cldr_dates", *overrides, cwd=workplace)
    assert done.returncode == 2
    assert words in done.stderr.decode()


def spoil(folder: Path, name: str, content: bytes | None) -> Path:
    """Copies the data with one file changed or left out."""
    spoilt = folder / f"spoilt {time.monotonic_ns()}"
    spoilt.mkdir()
    for path in (folder / "data").iterdir():
        (spoilt / path.name).write_bytes(path.read_bytes())
    (spoilt / name).unlink() if content is None else (spoilt / name).write_bytes(content)
    return spoilt


@pytest.mark.parametrize(
    ("name", "content", "override", "message"),
    [
        ("train.source", b"one line\n", "", r"train\.target"),
        ("train.source", b"fine\nb\xffd\n" * 200, "", r"train\.source:2: invalid UTF-8"),
        ("test.target", b"", "", r"test\.target is empty"),
        ("validation.source", None, "", r"no file validation\.source"),
        ("train.source", b"\n" * 400, "", "nothing to learn|No record is left"),
        ("unused", b"", "model.encoder.unit=3", "nearest is 'model.encoder.units'"),
        ("unused", b"", "+typo=1", "typo: no such config key"),
        ("unused", b"", "model.encoder.units=0", r"model\.encoder: units: .*at least 1, got 0"),
        ("unused", b"", "model.encoder.cell=rnm", "unknown cell 'rnm'"),
        ("unused", b"", "task.metrics=[blue]", "the nearest is 'bleu'"),
        ("unused", b"", "precision=float61", "precision"),
        ("unused", b"", "seed=abc", "seed: must be a whole number"),
        ("unused", b"", "hydra.run.dir=/dev/null/x", "cannot be made"),
        ("unused", b"", "batching.batch_size=1.5", r"batching\.batch_size: must be int"),
        ("unused", b"", "trainer.checkpoint_minutes=abc", "checkpoint_minutes: must be float"),
        ("unused", b"", "tracking.tracking_uri=http://127.0.0.1:1", "tracking_uri"),
    ],
)
def test_mistakes_get_one_clear_message(
    workplace, monkeypatch, capsys, name, content, override, message
):
    monkeypatch.chdir(workplace)
    monkeypatch.setenv("XDG_CACHE_HOME", str(workplace / "cache"))
    data = spoil(workplace, name, content)
    tracking = [] if override.startswith("tracking") else ["tracking=none"]
    arguments = train_arguments(data, workplace / "bad", *tracking, *filter(None, [override]))
    with pytest.raises(SystemExit, match="2"):
        main(arguments)
    captured = capsys.readouterr().err
    assert re.search(message, captured.replace("\n", " "))
    assert "Traceback" not in captured
    assert not (workplace / "bad").exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["predict", "nowhere"], "there is no such folder"),
        (["evaluate", "nowhere"], "nowhere"),
        (["train", "recipe=translation/cldr_date"], "nearest is 'translation/cldr_dates'"),
        (["train", "resume=nowhere"], "not a run folder"),
        (["train", "--multi"], "unrecognized arguments: --multi"),
        (["predikt"], "no such command; the nearest is 'predict'"),
    ],
)
def test_wrong_arguments_exit_with_2(arguments, message, capsys, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit, match="2"):
        main(arguments)
    assert message in capsys.readouterr().err


def test_help_version_and_recipes_need_no_tensorflow(capsys):
    check = (
        "import sys; from seq2seq.cli import main\n"
        "try: main(sys.argv[1:])\n"
        "except SystemExit: pass\n"
        "assert 'tensorflow' not in sys.modules and 'keras' not in sys.modules"
    )
    for arguments in (["--help"], ["--version"], ["recipes"], ["train", "--help"]):
        done = subprocess.run(
            [sys.executable, "-c", check, *arguments], capture_output=True, check=True, text=True
        )
        assert done.stdout


def test_keras_starts_without_what_it_can_do_without():
    program = (
        "import sys; from seq2seq.commands._start_tensorflow import start_tensorflow;"
        "start_tensorflow();"
        "left_out = {'matplotlib', 'pandas', 'sklearn'};"
        "assert 'keras' in sys.modules and not left_out & set(sys.modules);"
        "import matplotlib.pyplot, pandas, sklearn.metrics"
    )
    subprocess.run([sys.executable, "-c", program], check=True)


def test_a_sweep_runs_every_combination_in_both_precisions(workplace):
    arguments = train_arguments(workplace / "data", "unused", "-m", "trainer.epochs=1")
    choices = ("precision=float32,mixed_bfloat16", "model/bridge=dense,copy", "tracking=none")
    done = command(*arguments, *choices, cwd=workplace)
    # The encoder has two directions: copy fits neither run, and the others go on.
    assert done.returncode == 2
    assert done.stderr.decode().count("CopyBridge needs one direction") == 2
    runs = sorted(path.parent for path in workplace.glob("multirun/*/*/*/metrics.json"))
    assert len(runs) == 2
    sources = (workplace / "data" / "test.source").read_text().splitlines()
    for run in runs:
        saved = [json.loads(r) for r in (run / "predictions/test.jsonl").read_text().splitlines()]
        again = Predictor.load(run)(sources)
        assert [row["prediction"] for row in again] == [row["prediction"] for row in saved]


def test_a_run_is_never_overwritten(workplace, monkeypatch, capsys):
    monkeypatch.chdir(workplace)
    with pytest.raises(SystemExit, match="2"):
        main([*train_arguments(workplace / "data", "first"), "resume=never"])
    assert "holds a run already" in capsys.readouterr().err
    with pytest.raises(SystemExit, match="2"):
        main([*train_arguments(workplace / "data", "first"), "model.encoder.units=7"])
    assert "model.encoder.units: " in capsys.readouterr().err
