import json
import subprocess
import sys
from importlib import metadata

import pytest

from seq2seq.tracking.base import NoTracker
from seq2seq.tracking.environment import command_line, describe_environment, git_state


def git(folder, *arguments):
    identity = ["-c", "user.name=A", "-c", "user.email=a@b.c", "-c", "init.defaultBranch=main"]
    command = ["git", "-C", str(folder), *identity, *arguments]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


def test_the_environment_fits_a_json_file_and_holds_no_secrets(monkeypatch):
    monkeypatch.setenv("TF_CPP_MIN_LOG_LEVEL", "3")
    monkeypatch.setenv("MY_TOKEN", "hush")
    environment = json.loads(json.dumps(describe_environment()))
    assert environment["packages"]["keras"] == metadata.version("keras")
    assert environment["python"] == sys.version
    assert environment["machine"]["cpus"] >= 1
    assert environment["variables"]["TF_CPP_MIN_LOG_LEVEL"] == "3"
    assert "hush" not in json.dumps(environment)


def test_the_command_can_be_typed_again(monkeypatch):
    monkeypatch.setattr(sys, "argv", ["/a/bin/seq2seq", "train", "data.directory=/my data"])
    assert command_line() == "seq2seq train 'data.directory=/my data'"


def test_git_state(tmp_path):
    git(tmp_path, "init")
    assert git_state(tmp_path) == {}
    (tmp_path / "file").write_text("one")
    git(tmp_path, "add", "file")
    git(tmp_path, "commit", "-m", "first")
    (tmp_path / "untracked").write_text("")
    commit = git(tmp_path, "rev-parse", "HEAD")
    assert git_state(tmp_path) == {"commit": commit, "branch": "main", "dirty": "false"}
    (tmp_path / "file").write_text("two")
    assert git_state(tmp_path)["dirty"] == "true"


def test_no_repository_is_no_error(tmp_path, monkeypatch):
    assert git_state(tmp_path / "missing") == {}
    monkeypatch.setenv("PATH", "")
    assert git_state(tmp_path) == {}


def test_no_tracker_leaves_no_trace(tmp_path):
    tracker = NoTracker()
    tracker.start(tmp_path, {"seed": 1}, {})
    tracker.log_metrics({"loss": 1.0}, 1)
    tracker.log_table({"source": ["a"]}, "table.json")
    tracker.finish("KILLED")
    assert tracker.page_command() == ""
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("module", ["base", "environment", "parameters", "background"])
def test_only_the_mlflow_tracker_imports_mlflow(module):
    program = f"import sys, seq2seq.tracking.{module}; print('mlflow' in sys.modules)"
    command = [sys.executable, "-c", program]
    printed = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    assert printed == "False\n"
