"""What a run ran on: machine, Python, packages, and the commit of the code."""

import getpass
import os
import platform
import shlex
import subprocess
import sys
from importlib import metadata
from pathlib import Path
from typing import Any

# The variables that change results or speed. Others may hold secrets and are nobody's business.
VARIABLES = (
    "CUDA_VISIBLE_DEVICES",
    "MKL_NUM_THREADS",
    "OMP_NUM_THREADS",
    "PYTHONHASHSEED",
    "SEQ2SEQ_DATA",
    "XLA_FLAGS",
)
VARIABLE_PREFIXES = ("KERAS_", "TF_")


def describe_environment() -> dict[str, Any]:
    """Machine, Python and packages of this process, as plain values for a JSON file."""
    return {
        "command": command_line(),
        "python": sys.version,
        "platform": platform.platform(),
        "machine": {
            "host": platform.node(),
            "cpu": _cpu_model(),
            "cpus": os.cpu_count(),
            "memory_gib": _memory_gib(),
            "gpus": _gpus(),
        },
        "variables": {
            name: value
            for name, value in sorted(os.environ.items())
            if name in VARIABLES or name.startswith(VARIABLE_PREFIXES)
        },
        "packages": {
            distribution.name: distribution.version
            for distribution in sorted(metadata.distributions(), key=lambda each: each.name.lower())
        },
    }


def command_line() -> str:
    """The command that started this process, as it could be typed again."""
    return shlex.join([Path(sys.argv[0]).name, *sys.argv[1:]])


def user_name() -> str:
    """Who runs this process; `unknown` where the system has no name for them."""
    try:
        return getpass.getuser()
    except (OSError, KeyError):
        return "unknown"


def git_state(folder: Path) -> dict[str, str]:
    """The commit that a folder is at.

    Args:
        folder: Any folder.

    Returns:
        `commit`, `branch` and `dirty` (`true` if tracked files differ from the commit), or an
        empty dict where there is no repository with a commit, or no git.
    """
    commit = _output(["git", "-C", str(folder), "rev-parse", "HEAD"])
    if not commit:
        return {}
    changes = _output(["git", "-C", str(folder), "status", "--porcelain", "--untracked-files=no"])
    branch = _output(["git", "-C", str(folder), "rev-parse", "--abbrev-ref", "HEAD"])
    return {"commit": commit, "branch": branch, "dirty": "true" if changes else "false"}


def own_git_state() -> dict[str, str]:
    """The commit of seq2seq's own code, as `git_state`; empty where it is an installed copy."""
    folder = Path(__file__).parent
    # A copy may be installed below some other repository, which does not track it.
    tracked = _output(["git", "-C", str(folder), "ls-files", Path(__file__).name])
    return git_state(folder) if tracked else {}


def _output(command: list[str]) -> str:
    """What a command prints; empty if it fails, hangs or does not exist."""
    try:
        finished = subprocess.run(
            command, capture_output=True, encoding="utf-8", errors="replace", timeout=10, check=True
        )
    except (OSError, subprocess.SubprocessError):
        return ""
    return finished.stdout.strip()


def _cpu_model() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor()
    models = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return models[0] if models else platform.processor()


def _memory_gib() -> float | None:
    try:
        size = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError, OSError):
        return None
    return round(size / 2**30, 1)


def _gpus() -> list[str]:
    query = ["nvidia-smi", "--query-gpu=name,memory.total,driver_version", "--format=csv,noheader"]
    return _output(query).splitlines()
