"""The kernels are compiled once, found again, and done without where they cannot be had."""

import logging
import subprocess
import sys
import time
from pathlib import Path

import pytest
import tensorflow as tf

from seq2seq.errors import UserError
from seq2seq.ops import compile
from seq2seq.ops.dispatch import inference_kernels, usable


@pytest.fixture
def unloaded(monkeypatch):
    """A process that has not looked for the kernels yet."""
    forget()
    yield monkeypatch
    forget()


def forget():
    compile.load.cache_clear()
    compile._forget()


def test_no_compiler_is_said_once_and_no_obstacle(unloaded, caplog):
    unloaded.setenv("CXX", "no-such-compiler")
    assert not usable(tf.float32, training=True)
    assert not usable(tf.float32, training=True)
    assert [record.levelno for record in caplog.records] == [logging.WARNING]
    assert "No C++ compiler was found" in caplog.text
    with pytest.raises(RuntimeError):
        compile.library()


def test_a_compiler_that_fails_is_no_obstacle(unloaded, caplog, tmp_path):
    broken = tmp_path / "broken-compiler"
    broken.write_text(
        '#!/bin/sh\nif [ "$1" = --version ]; then echo 1; else echo oops >&2; exit 1; fi'
    )
    broken.chmod(0o755)
    unloaded.setenv("CXX", str(broken))
    unloaded.setenv("SEQ2SEQ_KERNELS", str(tmp_path / "kernels"))
    assert not usable(tf.float32, training=True)
    assert "oops" in caplog.text
    assert not list((tmp_path / "kernels").rglob("*.so"))


@pytest.fixture
def slow_compiler(tmp_path, unloaded):
    """A compiler that takes a minute for each file, and writes the number of its process."""
    compiler, log = tmp_path / "slow-compiler", tmp_path / "processes"
    compiler.write_text(
        f'#!/bin/sh\n[ "$1" = --version ] && exit 0\necho $$ >> {log}\nexec sleep 60'
    )
    compiler.chmod(0o755)
    unloaded.setenv("CXX", str(compiler))
    unloaded.setenv("SEQ2SEQ_KERNELS", str(tmp_path / "kernels"))
    return log


@pytest.mark.skipif(not Path("/proc/self").exists(), reason="needs /proc")
def test_a_failing_run_ends_the_compilers(slow_compiler, tmp_path):
    begin = time.monotonic()

    def fail_when_compiling():
        with compile.compiled_in_background():
            while not slow_compiler.exists():
                time.sleep(0.01)
            raise UserError("data.directory: there is none")

    with pytest.raises(UserError):
        fail_when_compiling()
    for process in slow_compiler.read_text().split():
        while Path("/proc", process).exists():
            assert time.monotonic() - begin < 50
            time.sleep(0.01)
    assert not list((tmp_path / "kernels").rglob("*.so"))


def test_they_can_be_turned_off(unloaded):
    unloaded.setenv("SEQ2SEQ_KERNELS", "0")
    assert not usable(tf.float32, training=True)


@pytest.mark.compiled
def test_compiled_once_for_all_processes(unloaded):
    assert usable(tf.float32, training=True)
    forget()
    unloaded.setattr(compile, "Compilation", None)
    assert usable(tf.float32, training=True)


@pytest.mark.compiled
def test_inference_uses_kernels_only_in_graphs_that_stay_here():
    assert not usable(tf.float32, training=False)
    with inference_kernels():
        assert usable(tf.float32, training=False)
    assert not usable(tf.float32, training=False)


@pytest.mark.compiled
def test_threads_do_not_keep_a_process_from_ending():
    code = (
        "import tensorflow as tf; from seq2seq.layers.recurrent import LSTM;"
        "print(LSTM(40)(tf.ones((3, 4, 5)), training=True).shape)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=True
    )
    assert done.stdout.strip() == "(3, 40)"
