"""The exit codes of all commands: 0, 1 (a gate that is not met), 2 (user errors), 130 (Ctrl-C)."""

import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from seq2seq import cli, errors
from seq2seq.cli import COMMANDS, main

MISTAKES = {
    "recipes": ["more"],
    "download": ["nowhere"],
    "check": ["nowhere"],
    "rate": ["nowhere"],
    "batch": ["nowhere"],
    "train": ["nowhere"],
    "launch": ["--workers", "0", "--", "train", "nowhere"],
    "evaluate": ["nowhere"],
    "predict": ["nowhere"],
    "distill": ["nowhere", "-o", "data"],
    "augment": ["nowhere", "texts.txt", "-o", "data"],
    "inspect": ["nowhere", "text"],
    "score": ["nowhere", "pairs.tsv"],
    "runs": ["--limit", "0"],
    "compare": ["nowhere", "nobody"],
    "register": ["nowhere", "--name", "dates"],
    "sync": ["nowhere"],
    "compress": ["nowhere", "copy"],
    "export": ["nowhere", "out", "--format", "onnx"],
    "generate": ["nowhere", "--prompt", "To be"],
    "serve": ["nowhere"],
    "completion": ["sh"],
    "doctor": ["more"],
}


@pytest.mark.parametrize("command", COMMANDS)
def test_a_mistake_exits_with_2_and_one_message(command, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as exit_:
        main([command, *MISTAKES[command]])
    assert exit_.value.code == 2
    errors = [line for line in capsys.readouterr().err.splitlines() if "error:" in line]
    assert len(errors) == 1
    assert errors[0].startswith("seq2seq")


@pytest.mark.parametrize("command", COMMANDS)
def test_ctrl_c_exits_with_130(command, monkeypatch, capsys):
    def interrupted(options):
        raise KeyboardInterrupt

    monkeypatch.setattr(f"seq2seq.commands.{command}.run", interrupted)
    arguments = {"completion": ["bash"], "doctor": [], "recipes": []}.get(command)
    with pytest.raises(SystemExit) as exit_:
        main([command, *(MISTAKES[command] if arguments is None else arguments)])
    assert exit_.value.code == 130
    assert "stopped" in capsys.readouterr().err


@pytest.mark.skipif(not Path("/proc/self/maps").exists(), reason="sees imports in /proc")
def test_ctrl_c_while_tensorflow_starts_exits_with_130(tmp_path):
    program = (  # shells ignore the signal in background jobs, and processes inherit that
        "import signal; signal.signal(signal.SIGINT, signal.default_int_handler);"
        "from seq2seq.cli import main; main(['check', 'translation/cldr_dates'])"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", program],
        cwd=tmp_path,
        stderr=subprocess.PIPE,
        text=True,
    )
    until = time.monotonic() + 60
    while "tensorflow" not in Path(f"/proc/{process.pid}/maps").read_text(encoding="utf-8"):
        assert time.monotonic() < until
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    rest = process.communicate(timeout=60)[1]
    assert process.returncode == 130, rest
    assert "Traceback" not in rest


def test_the_codes_are_those_of_the_help():
    for code in (0, 1, errors.USER_ERROR, errors.OUT_OF_TIME, errors.INTERRUPTED):
        assert f"\n  {code} " in cli.EPILOG
