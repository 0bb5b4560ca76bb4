"""Describes the environment of a run: machine, Python, packages, and the commit of the code."""

import getpass
import os
import platform
import shlex
import subprocess
import sys
from collections.abc import Mapping
from importlib import metadata
from pathlib import Path
from typing import Any

import psutil

from seq2seq.version import distributions_of, version

ENVIRONMENT = "environment.json"
"""The file of a run folder, and of a tracked run, with `describe_environment`."""

# The variables that affect results or speed; others may hold secrets and are not recorded.
VARIABLES = (
    "CUDA_VISIBLE_DEVICES",
    "MKL_NUM_THREADS",
    "OMP_NUM_THREADS",
    "PYTHONHASHSEED",
    "SEQ2SEQ_DATA",
    "XLA_FLAGS",
)
VARIABLE_PREFIXES = ("KERAS_", "TF_")
VERSIONS = ("tensorflow", "keras", "numpy", "mlflow")


def describe_environment() -> dict[str, Any]:
    """Describes machine, Python and packages of this process, as plain values for a JSON file."""
    return {
        "command": command_line(),
        "python": sys.version,
        "platform": platform.platform(),
        "machine": {
            "host": platform.node(),
            "cpu": _cpu_model(),
            "cpus": os.cpu_count(),
            "memory_gib": round(psutil.virtual_memory().total / 2**30, 1),
            "gpus": _gpus(),
        },
        "variables": {
            name: value
            for name, value in sorted(os.environ.items())
            if name in VARIABLES or name.startswith(VARIABLE_PREFIXES)
        },
        "packages": {
            package.name: package.version
            for package in sorted(metadata.distributions(), key=lambda item: item.name.lower())
        },
    }


def environment_tags(run_folder: Path, environment: Mapping[str, Any]) -> dict[str, str]:
    """Returns the tags of every run: user, machine, command, commits and versions.

    `mlflow.source.git` is the repository in which the run was started; `seq2seq.git` that of
    seq2seq's own code. MLflow's page has a column for each tag that begins with `mlflow.`.
    """
    packages = environment["packages"]
    versions = {
        name: next((packages[key] for key in distributions_of(name) if key in packages), None)
        for name in VERSIONS
    }
    return {
        "mlflow.user": user_name(),
        "mlflow.source.name": environment["command"],
        "mlflow.source.type": "LOCAL",
        **{f"mlflow.source.git.{name}": value for name, value in git_state(Path.cwd()).items()},
        **{f"seq2seq.git.{name}": value for name, value in own_git_state().items()},
        "run_folder": str(run_folder.resolve()),
        "host": environment["machine"]["host"],
        "version.seq2seq": version(),
        **{f"version.{name}": version for name, version in versions.items() if version},
    }


def command_line() -> str:
    """Returns the command that started this process, quoted for a shell."""
    return shlex.join([Path(sys.argv[0]).name, *sys.argv[1:]])


def user_name() -> str:
    """Returns the user of this process; `unknown` where the system has no name for them."""
    try:
        return getpass.getuser()
    except (OSError, KeyError):
        return "unknown"


def git_state(folder: Path) -> dict[str, str]:
    """Returns the state of the Git repository that a folder is in.

    Returns:
        `commit`, `branch` and `dirty` (`true` if tracked files differ from the commit), or an
        empty dict without Git, or a repository with a commit.
    """
    commit = _output(["git", "-C", str(folder), "rev-parse", "HEAD"])
    if not commit:
        return {}
    changes = _output(["git", "-C", str(folder), "status", "--porcelain", "--untracked-files=no"])
    branch = _output(["git", "-C", str(folder), "rev-parse", "--abbrev-ref", "HEAD"])
    return {"commit": commit, "branch": branch, "dirty": "true" if changes else "false"}


def own_git_state() -> dict[str, str]:
    """Returns `git_state` of seq2seq's own code; empty if it is an installed copy."""
    folder = Path(__file__).parent
    # An installed copy may lie below another repository, which does not track it.
    tracked = _output(["git", "-C", str(folder), "ls-files", Path(__file__).name])
    return git_state(folder) if tracked else {}


def _output(command: list[str]) -> str:
    """Returns what a command prints; empty if it fails, hangs or does not exist."""
    try:
        process = subprocess.run(
            command, capture_output=True, encoding="utf-8", errors="replace", timeout=10, check=True
        )
    except (OSError, subprocess.SubprocessError):
        return ""
    return process.stdout.strip()


def _cpu_model() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor()
    models = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return models[0] if models else platform.processor()


def _gpus() -> list[str]:
    query = ["nvidia-smi", "--query-gpu=name,memory.total,driver_version", "--format=csv,noheader"]
    return _output(query).splitlines()
