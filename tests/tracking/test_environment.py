import json
import subprocess
import sys
from importlib import metadata

import pytest

from seq2seq.tracking import environment
from seq2seq.tracking.base import NoTracker
from seq2seq.tracking.environment import (
    command_line,
    describe_environment,
    git_state,
    own_git_state,
)


def git(folder, *arguments):
    identity = ["-c", "user.name=A", "-c", "user.email=a@b.c", "-c", "init.defaultBranch=main"]
    command = ["git", "-C", str(folder), *identity, *arguments]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


def test_the_environment_fits_a_json_file_and_holds_no_secrets(monkeypatch):
    monkeypatch.setenv("TF_CPP_MIN_LOG_LEVEL", "3")
    monkeypatch.setenv("MY_TOKEN", "hush")
    described = json.loads(json.dumps(describe_environment()))
    assert described["packages"]["numpy"] == metadata.version("numpy")
    assert described["python"] == sys.version
    assert described["machine"]["cpus"] >= 1
    assert described["variables"]["TF_CPP_MIN_LOG_LEVEL"] == "3"
    assert "hush" not in json.dumps(described)


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


def test_the_commit_of_our_own_code_is_not_that_of_a_repository_it_is_installed_in(
    tmp_path, monkeypatch
):
    package = tmp_path / "site-packages" / "seq2seq"
    package.mkdir(parents=True)
    (package / "environment.py").write_text("")
    (tmp_path / "users_own.py").write_text("")
    git(tmp_path, "init")
    git(tmp_path, "add", "users_own.py")
    git(tmp_path, "commit", "-m", "first")
    monkeypatch.setattr(environment, "__file__", str(package / "environment.py"))
    assert own_git_state() == {}
    git(tmp_path, "add", "site-packages")
    assert own_git_state() == git_state(tmp_path)
    assert own_git_state()["dirty"] == "true"


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
    assert tracker.pages() == {}
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("module", ["base", "environment", "parameters", "background"])
def test_only_the_mlflow_tracker_imports_mlflow(module):
    program = f"import sys, seq2seq.tracking.{module}; print('mlflow' in sys.modules)"
    command = [sys.executable, "-c", program]
    printed = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    assert printed == "False\n"
