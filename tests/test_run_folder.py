"""A run folder has one owner at a time, among processes and after one of them was killed."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from omegaconf import OmegaConf

from seq2seq.cli import main
from seq2seq.errors import UserError
from seq2seq.run_folder import (
    OccupiedError,
    claimed,
    claimed_new,
    remove_if_empty,
    saved_overrides,
    write_config,
)
from seq2seq.yaml_files import load

HOLD = """
import sys, time
from pathlib import Path
from seq2seq.run_folder import claimed
with claimed(Path(sys.argv[1])):
    print("held", flush=True)
    time.sleep(60)
"""


@pytest.fixture
def holder(tmp_path):
    """Another process that holds the folder `run`."""
    command = [sys.executable, "-c", HOLD, str(tmp_path / "run")]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        assert process.stdout.readline() == b"held\n"
        yield process
        process.kill()


def claim(folder):
    with claimed(folder):
        return True


def test_another_process_is_refused_until_the_first_one_dies(holder, tmp_path):
    words = (
        rf"another process is at work on this folder \(process {holder.pid} on .+, since 2\d+-.+\)"
    )
    with pytest.raises(OccupiedError, match=words):
        claim(tmp_path / "run")
    with pytest.raises(OccupiedError), claimed_new(tmp_path / "run", is_named=True):
        pass
    holder.send_signal(signal.SIGKILL)
    holder.wait()
    assert claim(tmp_path / "run")


def test_a_new_run_without_a_name_of_its_own_gets_a_folder_beside(holder, tmp_path):
    with claimed_new(tmp_path / "run", is_named=False) as second:
        assert second == tmp_path / "run_2"
        with claimed_new(tmp_path / "run", is_named=False) as third:
            assert third == tmp_path / "run_3"


def test_a_run_that_has_learned_is_never_overwritten(tmp_path):
    (tmp_path / "run" / "checkpoints").mkdir(parents=True)
    with pytest.raises(OccupiedError, match="holds a run already"):
        claimed_new(tmp_path / "run", is_named=True).__enter__()
    with claimed_new(tmp_path / "run", is_named=False) as folder:
        assert folder.name == "run_2"


def test_what_killed_writers_left_is_removed(tmp_path):
    for folder in (tmp_path, tmp_path / "checkpoints"):
        (folder / ".unfinished-x1" / "deep").mkdir(parents=True)
        (folder / ".unfinished-x1" / "last.weights.h5").write_text("half")
    (tmp_path / "checkpoints" / "last_1.weights.h5").write_text("whole")
    assert claim(tmp_path)
    left = sorted(p.relative_to(tmp_path).as_posix() for p in tmp_path.rglob("*") if p.is_file())
    assert left == [".lock", "checkpoints/last_1.weights.h5"]


@pytest.mark.parametrize("name", ["file", "file/below", "/proc/nothing"])
def test_places_that_cannot_be_written_are_said(tmp_path, name):
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match=r"cannot be written \(.+hydra\.run\.dir"):
        claim(tmp_path / name)


@pytest.mark.parametrize("option", [[], ["hydra.run.dir=outputs/run"]])
def test_the_command_says_so_without_a_trace(tmp_path, monkeypatch, capfd, option):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "outputs").write_text("a file")
    with pytest.raises(SystemExit) as exit_:
        main(["train", "recipe=translation/cldr_dates", "tracking=none", *option])
    said = capfd.readouterr().err
    assert exit_.value.code == 2
    assert "cannot be made (Not a directory)" in said
    assert "Traceback" not in said


def test_a_folder_where_nothing_was_made_is_removed(tmp_path):
    with claimed_new(tmp_path / "run", is_named=True) as folder:
        hydra = OmegaConf.create({"overrides": {"task": ["a=1"]}})
        write_config(folder, OmegaConf.create({"a": 1}), hydra, {})
        remove_if_empty(folder)
    assert not (tmp_path / "run").exists()


KILLED = """
import sys
from pathlib import Path
from omegaconf import OmegaConf
from seq2seq.run_folder import write_config
config = OmegaConf.create({f"key{n}": "x" * 1000 for n in range(200)})
print("begun", flush=True)
while True:
    write_config(Path(sys.argv[1]), config, OmegaConf.create({"overrides": {"task": []}}), {})
"""


def test_whenever_it_is_killed_the_config_is_whole(tmp_path):
    command = [sys.executable, "-c", KILLED, str(tmp_path)]
    for number in range(5):
        with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
            process.stdout.readline()
            path = tmp_path / ".hydra" / "config.yaml"
            while not path.exists():
                time.sleep(0.01)
            time.sleep(0.013 * number)
            process.kill()
        assert len(OmegaConf.load(path)) == 200
    assert claim(tmp_path)
    assert not [name for name in os.listdir(Path(tmp_path, ".hydra")) if name.startswith(".un")]


@pytest.mark.parametrize("name", ["config.yaml", "hydra.yaml", "overrides.yaml"])
def test_a_damaged_config_is_an_error_or_the_same(tmp_path, name):
    config = OmegaConf.create({"seed": 12, "optimizer": {"learning_rate": 0.001}, "text": "é"})
    hydra = OmegaConf.create({"overrides": {"task": ["seed=12", "recipe=translation/cldr_dates"]}})
    write_config(tmp_path, config, hydra, {})
    path = tmp_path / ".hydra" / name

    def content():
        return saved_overrides(tmp_path) if name == "overrides.yaml" else load(path)

    good, expected = path.read_bytes(), content()
    damaged = [good[:size] for size in range(len(good))]
    damaged += [
        good[:place] + bytes([good[place] ^ 1 << bit]) + good[place + 1 :]
        for place in range(len(good))
        for bit in (0, 3, 5)
    ]
    contents, messages = [], []
    for data in damaged:
        path.write_bytes(data)
        try:
            contents.append(content())
        except UserError as error:
            messages.append(str(error))
    assert all(each == expected for each in contents)
    assert all(str(path) in message for message in messages)
    assert len(messages) > len(damaged) // 2
