"""`seq2seq batch`: some training steps with each size of batch, a table and a picture."""

import math
from types import SimpleNamespace

import psutil
import pytest

from seq2seq.batch_size_test import MeasuredSize, best_size
from seq2seq.cli import main

SMALL = ["classification/cldr_languages", "model.encoder.units=8", "model.embedding_dim=8"]
RECORDS = 30_967


@pytest.fixture
def place(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    folder = tmp_path / "here"
    folder.mkdir()
    monkeypatch.chdir(folder)
    return folder


def test_each_size_is_measured_and_only_the_picture_is_written(place, capsys):
    with pytest.raises(SystemExit) as exit_:
        main(["batch", *SMALL, "--sizes", "32,8", "--steps", "3"])
    assert not exit_.value.code
    header, *lines = capsys.readouterr().out.splitlines()
    assert header.split() == ["batch_size", "steps", "labels/s", "memory"]
    for line, size in zip(lines, (8, 32), strict=False):
        columns = line.replace(",", "").split()
        assert list(map(int, columns[:2])) == [size, math.ceil(RECORDS / size)]
        assert float(columns[2]) > 0
        assert float(columns[3]) > 0.1  # TensorFlow alone needs more
    assert "batching.batch_size=" in lines[2]
    assert [path.name for path in place.iterdir()] == ["batch_sizes.png"]


def test_sizes_that_need_more_memory_than_is_free_are_not_tried(place, monkeypatch, capsys):
    memory = SimpleNamespace(available=2**20)
    monkeypatch.setattr(psutil, "virtual_memory", lambda: memory)
    with pytest.raises(SystemExit) as exit_:
        main(["batch", *SMALL, "--sizes", "512,1024", "--steps", "1"])
    assert exit_.value.code == 2
    printed = capsys.readouterr()
    assert "512" in printed.out
    assert "not enough memory: needs about" in printed.out
    assert "1,024" not in printed.out
    assert "--sizes: there is not enough memory for any" in printed.err
    assert not list(place.iterdir())


def test_the_smallest_of_about_the_highest_speed_is_best():
    speeds = {16: 500.0, 32: 960.0, 64: 1000.0, 128: 990.0, 256: math.nan}
    measured = [MeasuredSize(size, 1, 0.1, 0.1, speed) for size, speed in speeds.items()]
    assert best_size(measured) == 32
    assert best_size(measured[-1:]) is None


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--steps", "0"], "--steps 0: has to be 1 or more"),
        (["--sizes", "0,2"], "--sizes: has to be whole numbers of at least 1"),
        (["--sizes", "8,many"], "such as 16,32,64, got '8,many'"),
        (["--figure", "nowhere/sizes.png"], "--figure nowhere/sizes.png: there is no such folder"),
    ],
)
def test_impossible_arguments_are_refused(arguments, message, place, capsys):
    with pytest.raises(SystemExit) as exit_:
        main(["batch", *SMALL, *arguments])
    assert exit_.value.code == 2
    assert message in capsys.readouterr().err
    assert not list(place.iterdir())
