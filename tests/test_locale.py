"""The command under a locale that is not UTF-8: arguments, streams and files are UTF-8."""

import json
import os
import shutil
import subprocess
import sys

import pytest


@pytest.fixture
def latin_1(tmp_path):
    """The environment of a Latin-1 locale."""
    if shutil.which("localedef") is None:
        pytest.skip("no localedef to make a locale with")
    made = tmp_path / "en_US.ISO-8859-1"
    command = ["localedef", "-i", "en_US", "-f", "ISO-8859-1", str(made)]
    if subprocess.run(command, capture_output=True, check=False).returncode and not made.exists():
        pytest.skip("the locale cannot be made here")
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("LC_", "LANG", "PYTHONUTF8"))}
    return {**kept, "LOCPATH": str(tmp_path), "LC_ALL": "en_US.ISO-8859-1"}


@pytest.mark.parametrize(
    "variables", [{}, {"LC_ALL": "C", "PYTHONUTF8": "0"}, {"PYTHONIOENCODING": "ascii"}]
)
def test_arguments_streams_and_files(latin_1, tmp_path, variables):
    code = (
        "import locale, sys, json\n"
        "import seq2seq.cli as cli\n"
        "def run(options):\n"
        "    arguments = options.overrides\n"
        "    open('out.txt', 'w').write(arguments[0])\n"
        "    print(json.dumps([arguments, sys.stdin.read()], ensure_ascii=False))\n"
        "import seq2seq.commands.train as train\n"
        "train.run = run\n"
        "cli.main()\n"
    )
    (tmp_path / "command.py").write_text(code, encoding="utf-8")
    done = subprocess.run(
        [sys.executable, "command.py", "train", "recipe=Übersetzung.yaml", "日本語"],
        cwd=tmp_path,
        env={**latin_1, **variables},
        input="été 否定".encode(),
        capture_output=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr.decode()
    wanted = [["recipe=Übersetzung.yaml", "日本語"], "été 否定"]
    assert json.loads(done.stdout.decode("utf-8")) == wanted
    assert (tmp_path / "out.txt").read_bytes().decode("utf-8") == "recipe=Übersetzung.yaml"
