"""`seq2seq launch`: a training with several processes, and how they end."""

import os
import re
import signal
import subprocess
import sys
import threading
import time

import h5py
import numpy as np
import psutil
import pytest

from seq2seq import worker_processes
from seq2seq.cli import main
from seq2seq.commands.launch import distributed
from seq2seq.data.embedded.cldr_dates import date_examples
from seq2seq.errors import OUT_OF_TIME, UserError
from seq2seq.run_folder import checkpoint_paths
from seq2seq.worker_processes import WorkerProcesses, visible_gpus

SECONDS = 240
"""The deadline of a command."""

SETTINGS = (
    "data=tsv", "data.directory=.", "data.files.train=dates.tsv", "model/attention=luong",
    "model.encoder.units=8", "model.decoder.units=16", "model.embedding_dim=8",
    "model.encoder.dropout=0.2", "batching.batch_size=32", "trainer.epochs=2",
    "trainer.checkpoint_steps=3", "trainer.keep=9", "tracking=none",
)  # fmt: skip


def start(folder, *arguments):
    environment = {**os.environ, "XDG_CACHE_HOME": str(folder / "cache"), "TMPDIR": str(folder)}
    return subprocess.Popen(
        [sys.executable, "-m", "seq2seq", *arguments],
        cwd=folder, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
    )  # fmt: skip


def ended(process, code=0):
    _, stderr = process.communicate(timeout=SECONDS)
    assert process.returncode == code, stderr.decode()
    return stderr.decode()


def arrays(path):
    """Returns all arrays of a checkpoint by name."""
    values = {}
    with h5py.File(path) as file:
        file.visititems(lambda name, item: values.update({name: item[()]})
                        if isinstance(item, h5py.Dataset) else None)  # fmt: skip
    return values


@pytest.fixture(scope="module")
def alone(tmp_path_factory):
    """A folder with data, and a training that was not disturbed."""
    folder = tmp_path_factory.mktemp("launch")
    examples = [e for e, _ in zip(date_examples("train"), range(400), strict=False)]
    text = "".join(f"{example.source}\t{example.target}\n" for example in examples)
    (folder / "dates.tsv").write_text(text, encoding="utf-8")
    distribute = ("distribute=multi_worker", "distribute.shards=2", "hydra.run.dir=alone")
    ended(start(folder, "train", *SETTINGS, *distribute))
    return folder


@pytest.mark.parametrize(
    ("number", "code", "message", "deadline"),
    [
        (signal.SIGKILL, 128 + signal.SIGKILL, "worker 1 of 2 has ended (SIGKILL)", 30),
        (signal.SIGSTOP, OUT_OF_TIME, "another worker has ended, or cannot be reached", 60),
    ],
)
def test_a_lost_worker_ends_all_and_one_process_goes_on_bit_identically(
    number, code, message, deadline, alone
):
    run = f"hydra.run.dir={number.name}"
    process = start(alone, "launch", "--workers", "2", "--", "train", *SETTINGS, run)
    checkpoints, end = alone / number.name / "checkpoints", time.monotonic() + SECONDS
    while not checkpoint_paths(checkpoints, "last") and time.monotonic() < end:
        assert process.poll() is None, process.stderr.read().decode()
        time.sleep(0.05)
    workers = psutil.Process(process.pid).children()
    [follower] = [each for each in workers if '"index": 1' in each.environ()["TF_CONFIG"]]
    follower.send_signal(number)
    lost = time.monotonic()
    stderr = ended(process, code)
    assert time.monotonic() - lost < deadline  # about 10 s, and 28 s after SIGSTOP
    assert message in stderr
    assert not any(each.is_running() for each in workers)
    done = len(checkpoint_paths(checkpoints, "last"))
    ended(start(alone, "train", f"resume={number.name}"))
    [last, *_], [expected, *_] = (
        checkpoint_paths(folder, "last") for folder in (checkpoints, alone / "alone/checkpoints")
    )
    assert last.name == expected.name
    assert len(checkpoint_paths(checkpoints, "last")) > done
    one, other = arrays(last), arrays(expected)
    assert one.keys() == other.keys()
    for name in one:
        np.testing.assert_array_equal(one[name], other[name], err_msg=name)


def program(folder, text):
    """Returns the path of a program that stands for Python."""
    path = folder / "program"
    path.write_text(f"#!/bin/sh\ncase $TF_CONFIG in *'index\": 0'*) chief=1;; esac\n{text}\n")
    path.chmod(0o755)
    return str(path)


@pytest.fixture
def quick(monkeypatch):
    monkeypatch.setattr(worker_processes, "OWN_SECONDS", 1.0)
    monkeypatch.setattr(worker_processes, "TERM_SECONDS", 1.0)


@pytest.mark.parametrize(
    ("text", "code", "message"),
    [
        ("exit 0", 0, ""),
        ("exit 2", 2, ""),
        ("test $chief && exec sleep 60; echo oops >&2; exit 3", 3, "worker 1: oops"),
        ("test $chief && exec sleep 60; kill -9 $$", 137, "worker 1 of 2 has ended (SIGKILL)"),
        ("test $chief && kill -9 $$; exec sleep 60", 137, "worker 0 of 2 has ended (SIGKILL)"),
        ("trap '' TERM; test $chief && exit 75; while true; do sleep 0.1; done", 75, ""),
        ("test $chief && exit 0; exec sleep 60", 0, ""),
    ],
)
def test_all_end_when_one_has(text, code, message, tmp_path, monkeypatch, capsys, quick):
    monkeypatch.setattr(sys, "executable", program(tmp_path, text))
    assert WorkerProcesses(["train"], 2).run() == code
    error = capsys.readouterr().err
    assert message in error
    assert bool(error) == bool(message)


def test_signals_are_passed_on(tmp_path, monkeypatch, quick):
    text = "trap 'exit 130' INT; for _ in $(seq 300); do sleep 0.1; done; exit 1"
    monkeypatch.setattr(sys, "executable", program(tmp_path, text))
    timer = threading.Timer(1.0, os.kill, (os.getpid(), signal.SIGINT))
    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # ignored in background jobs
    try:
        timer.start()
        assert WorkerProcesses(["train"], 3).run() == 130
    finally:
        signal.signal(signal.SIGINT, before)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--workers", "0", "--", "train", "a/b"], "at least 1"),
        (["--workers", "2", "--", "predict", "run"], "starts `train` only"),
        (["--workers", "2", "--", "train", "-m", "a/b"], "sweep.at_once"),
        (["--workers", "2"], "starts `train` only"),
    ],
)
def test_mistakes_get_a_message(arguments, message, capsys):
    with pytest.raises(SystemExit) as exit_:
        main(["launch", *arguments])
    assert exit_.value.code == 2
    assert message in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "is_added"),
    [
        (["train", "a/b"], True),
        (["train", "a/b", "resume=must"], True),
        (["train", "resume=runs/dates"], False),
        (["train", "a/b", "distribute=none"], False),
        (["train", "a/b", "distribute.shards=4"], True),
    ],
)
def test_the_config_group_is_added_unless_it_is_said(arguments, is_added):
    assert ("distribute=multi_worker" in distributed(arguments)) == is_added


def test_each_worker_has_a_gpu_of_its_own(tmp_path, monkeypatch):
    for name in ("nvidia0", "nvidia10", "nvidia2", "nvidiactl"):
        (tmp_path / name).touch()
    assert visible_gpus({}, tmp_path) == ["0", "2", "10"]
    assert visible_gpus({"CUDA_VISIBLE_DEVICES": "3,1"}, tmp_path) == ["3", "1"]
    assert visible_gpus({"CUDA_VISIBLE_DEVICES": ""}, tmp_path) == []
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "3,1")
    environments = worker_processes.worker_environments(2)
    assert [each["CUDA_VISIBLE_DEVICES"] for each in environments] == ["3", "1"]
    assert len({re.sub('"index": .', "", each["TF_CONFIG"]) for each in environments}) == 1
    with pytest.raises(UserError, match="there are 2 GPUs"):
        worker_processes.worker_environments(3)
