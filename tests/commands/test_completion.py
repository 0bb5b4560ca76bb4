"""The script of `seq2seq completion bash`, run by bash; completing never imports TensorFlow."""

import os
import shutil
import subprocess
import sys

import pytest

from seq2seq.cli import COMMANDS, main
from seq2seq.config import recipe_files

ASK = """
eval "$(seq2seq completion bash)"
COMP_LINE="$1"; COMP_POINT=${#1}; COMP_TYPE=9; COMPREPLY=()
_python_argcomplete seq2seq 2>/dev/null
printf '%s\\n' "${COMPREPLY[@]}"
"""


@pytest.fixture(scope="module")
def shell(tmp_path_factory):
    """A folder with the command, and with a TensorFlow that leaves a mark where it is imported."""
    if shutil.which("bash") is None:
        pytest.skip("needs bash")
    folder = tmp_path_factory.mktemp("shell")
    (folder / "seq2seq").write_text(
        f"#!/bin/sh\nexec {sys.executable} -c 'from seq2seq.cli import main; main()' \"$@\"\n"
    )
    (folder / "seq2seq").chmod(0o755)
    (folder / "tensorflow.py").write_text("open('imported', 'w'); raise ImportError")
    return folder


def completed(shell, line):
    paths = [str(shell), *filter(None, sys.path)]
    environment = {
        **os.environ,
        "PATH": f"{shell}{os.pathsep}{os.environ['PATH']}",
        "PYTHONPATH": os.pathsep.join(paths),
    }
    done = subprocess.run(
        ["bash", "-c", ASK, "bash", line],
        cwd=shell,
        env=environment,
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    assert not (shell / "imported").exists()
    return [answer.strip() for answer in done.stdout.splitlines()]


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("seq2seq tr", ["train"]),
        ("seq2seq help dow", ["download"]),
        ("seq2seq train translation/cldr", ["translation/cldr_dates"]),
        ("seq2seq train translation/cldr_dates model/att", ["model/attention="]),
        ("seq2seq train translation/cldr_dates decoding=", ["beam", "greedy", "none", "sampling"]),
        ("seq2seq train seed=1 resume=seq", ["seq2seq"]),
        ("seq2seq train seed=1 --cf", ["--cfg"]),
        ("seq2seq train -m seed=1 --cfg ", ["job", "hydra", "all"]),
        ("seq2seq download multi", ["multi30k_en_de"]),
        ("seq2seq predict RUN --format ", ["text", "tsv", "jsonl", "conll", "csv"]),
        ("seq2seq predict tensor", ["tensorflow.py"]),
    ],
)
def test_bash_completes(shell, line, expected):
    assert completed(shell, line) == expected


def test_bash_completes_commands_and_recipes(shell):
    assert completed(shell, "seq2seq ") == [*COMMANDS, "help"]
    names = [name for name in recipe_files() if name.startswith("tagging/")]
    assert completed(shell, "seq2seq check recipe=tagging/") == names


@pytest.mark.parametrize("shell_name", ["bash", "zsh", "fish"])
def test_there_is_a_script_for_each_shell(shell_name, capsys):
    with pytest.raises(SystemExit, match="0"):
        main(["completion", shell_name])
    script = capsys.readouterr().out
    assert "_ARGCOMPLETE" in script
    assert "seq2seq" in script
