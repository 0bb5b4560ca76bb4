"""Finds out whether a machine can train, and how fast: packages, kernels, disk, data and MLflow.

Nothing is installed, compiled or left behind. TensorFlow is tried in another process: it may crash.
"""

import json
import os
import platform
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

import psutil
from packaging.requirements import Requirement

from seq2seq.cache import cache_directory
from seq2seq.data.downloads import data_directory, data_sets
from seq2seq.errors import UserError
from seq2seq.ops.processor import processor_features
from seq2seq.tracking.environment import describe_environment
from seq2seq.version import DISTRIBUTION, installed_distribution, version

SIMD = ("avx2", "avx512f", "avx512_vnni", "avx512_bf16", "amx_bf16", "amx_int8")
"""The instructions that make kernels faster, by their names in `/proc/cpuinfo`."""

LEAST_MEMORY, LEAST_DISK = 2 * 2**30, 2 * 2**30
"""Free bytes below which the report warns."""

PROBE_SECONDS = 120

INSTALL = f"pip install '{DISTRIBUTION}'"

KERNEL_STATES = {
    "compiled": ("C++ kernels for {instructions}", ""),
    "not compiled": ("C++ kernels for {instructions}, which the first training compiles", ""),
    "off": ("TensorFlow's operations", "unset the variable SEQ2SEQ_KERNELS for faster training"),
    "no compiler": ("TensorFlow's operations", "apt install g++ for faster training on a CPU"),
    "failed": ("TensorFlow's operations", "the C++ kernels fail; train.log of a run says why"),
}
"""What runs, with which instructions, and what to do, by `seq2seq.ops.compile.state`."""


@dataclass(frozen=True)
class Finding:
    """A fact about the machine.

    Attributes:
        subject: What was looked at.
        state: What was found.
        advice: What to do; empty if all is well.
    """

    subject: str
    state: str
    advice: str = ""


def examine() -> Iterator[Finding]:
    """Yields all findings, the quick ones first."""
    machine = describe_environment()["machine"]
    yield Finding("seq2seq", f"{version()}, in {Path(__file__).parent}")
    yield Finding("Python", f"{platform.python_version()}, {sys.executable}")
    yield from packages()
    yield processor(machine["cpu"])
    yield memory()
    yield disk("disk, runs", Path.cwd(), "start commands in another folder")
    yield disk("disk, cache", cache_directory(), "set the variable XDG_CACHE_HOME")
    yield data()
    yield from tensorflow(machine["gpus"])
    yield mlflow_store()


def packages() -> Iterator[Finding]:
    """Compares the installed packages to the requirements, and to `constraints.txt`."""
    try:
        required = metadata.requires(DISTRIBUTION) or []
    except metadata.PackageNotFoundError:
        advice = "install it: pip install -e . in the checkout"
        yield Finding("packages", f"{DISTRIBUTION} is not installed, its requirements", advice)
        return
    problems = list(unmet(map(Requirement, required)))
    if problems:
        yield Finding("packages", "; ".join(problems), f"{INSTALL} in a new environment")
    else:
        yield Finding("packages", "all that are required are installed")
    constraints = Path(__file__).parents[1] / "constraints.txt"
    if constraints.is_file():
        others = list(differing(constraints.read_text(encoding="utf-8")))
        shown = ", ".join(others[:4]) + (f" and {len(others) - 4} more" if len(others) > 4 else "")
        state = f"not as tested: {shown}" if others else "all as in constraints.txt"
        advice = "pip install -c constraints.txt -e . for the tested ones" if others else ""
        yield Finding("versions", state, advice)


def unmet(required: Iterable[Requirement]) -> Iterator[str]:
    """Yields what is missing or of another version than required."""
    for requirement in required:
        if requirement.marker is not None and not requirement.marker.evaluate({"extra": ""}):
            continue
        installed = _installed(requirement.name)
        if installed is None:
            yield f"{requirement.name} is missing"
        elif not requirement.specifier.contains(installed, prereleases=True):
            yield f"{requirement.name} is {installed}, needs {requirement.specifier}"


def differing(constraints: str) -> Iterator[str]:
    """Yields installed packages of other versions than those in the text of `constraints.txt`."""
    for line in constraints.splitlines():
        name, _, tested = line.partition("==")
        installed = _installed(name.strip()) if tested else None
        if installed not in (None, tested.strip()):
            yield f"{name.strip()} {installed} (tested: {tested.strip()})"


def _installed(name: str) -> str | None:
    distribution = installed_distribution(name)
    return None if distribution is None else distribution[1]


def processor(model: str) -> Finding:
    """Returns the processor, its cores and its SIMD instructions."""
    features = processor_features().split()
    simd = ", ".join(name for name in SIMD if name in features) or "no AVX2"
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return Finding("processor", f"{model}, {cores} cores; {simd}")


def memory() -> Finding:
    """Returns the memory."""
    usage = psutil.virtual_memory()
    state = f"{_gib(usage.available)} of {_gib(usage.total)} free"
    advice = "end other programs, or train smaller batches: batching.batch_size=16"
    return Finding("memory", state, advice if usage.available < LEAST_MEMORY else "")


def disk(subject: str, folder: Path, otherwise: str) -> Finding:
    """Returns whether a folder, which need not exist, can be written, and how much is free."""
    existing = next(path for path in (folder, *folder.absolute().parents) if path.exists())
    try:
        tempfile.TemporaryFile(dir=existing).close()
    except OSError as error:
        state = f"{folder} cannot be written ({error.strerror})"
        return Finding(subject, state, f"give access, or {otherwise}")
    free = shutil.disk_usage(existing).free
    advice = f"make room, or {otherwise}" if free < LEAST_DISK else ""
    return Finding(subject, f"{folder}, {_gib(free)} free", advice)


def _gib(size: int) -> str:
    return f"{size / 2**30:.1f} GiB"


def data() -> Finding:
    """Returns where recipes look for their data, and which data sets are there."""
    folder, names = data_directory(), list(data_sets())
    origin = "SEQ2SEQ_DATA is" if "SEQ2SEQ_DATA" in os.environ else "SEQ2SEQ_DATA is not set:"
    if not folder.is_dir():
        return Finding(
            "data",
            f"{origin} {folder}, which does not exist",
            "seq2seq download NAME makes it; recipes on embedded data need nothing",
        )
    present = [name for name in names if (folder / name).is_dir()]
    return Finding("data", f"{origin} {folder}: {len(present)} of {len(names)} data sets")


def tensorflow(gpus: list[str]) -> Iterator[Finding]:
    """Yields whether TensorFlow works, the GPUs, and which kernels run."""
    report, problem = run_module("seq2seq.ops.probe")
    if problem:
        yield Finding("TensorFlow", f"cannot be used: {problem}", f"{INSTALL} --force-reinstall")
        yield Finding("GPU", ", ".join(gpus) or "none")
        return
    yield Finding("TensorFlow", report["tensorflow"])
    if gpus and not report["gpus"]:
        advice = f"pip install '{DISTRIBUTION}[gpu]'"
        yield Finding("GPU", f"{', '.join(gpus)}, which TensorFlow does not see", advice)
    else:
        yield Finding("GPU", ", ".join(gpus or report["gpus"]) or "none")
    if report["gpus"]:
        yield Finding("kernels", "those of TensorFlow and cuDNN on the GPU")
    else:
        state, advice = KERNEL_STATES[report["kernels"]]
        yield Finding("kernels", state.format(instructions=report["instructions"]), advice)
        if report["kernels"] == "compiled":
            yield speed()


def speed() -> Finding:
    """Times a training step of an LSTM beside one of stock Keras, for some seconds."""
    report, problem = run_module("seq2seq.speed_check")
    if problem:
        return Finding("speed", f"cannot be measured: {problem}", "seq2seq doctor once more")
    ours, stock = report["seq2seq"], report["keras"]
    times = f"a training step takes {ours:.1f} ms, and {stock:.1f} ms with Keras"
    state = f"LSTM {stock / ours:.1f} times as fast as Keras': {times}"
    advice = "end other programs, and measure again" if ours > stock else ""
    return Finding("speed", state, advice)


def run_module(module: str) -> tuple[dict[str, Any], str]:
    """Runs a module in another process; returns the JSON that it prints, or what went wrong."""
    environment = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"}
    environment["PYTHONPATH"] = os.pathsep.join(filter(None, sys.path))
    try:
        process = subprocess.run(
            [sys.executable, "-m", module],
            capture_output=True,
            encoding="utf-8",
            errors="replace",
            timeout=PROBE_SECONDS,
            env=environment,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return {}, f"it does not start within {PROBE_SECONDS} s"
    lines = (process.stdout if process.returncode == 0 else process.stderr).strip().splitlines()
    if process.returncode != 0:
        last = lines[-1] if lines else "no message"
        return {}, last if process.returncode > 0 else f"it crashes (signal {-process.returncode})"
    return json.loads(lines[-1]), ""


def mlflow_store() -> Finding:
    """Returns whether the default MLflow store can be reached."""
    try:
        from seq2seq.tracking.mlflow_store import (
            open_store,
            resolve_uri,
            sqlite_file,
            without_password,
        )
    except ImportError as error:
        return Finding("MLflow", f"cannot be imported: {error}", f"{INSTALL}, or tracking=none")
    uri = resolve_uri(None)
    database, shown = sqlite_file(uri), without_password(uri)
    if database is not None and not database.exists():
        return Finding("MLflow", f"{shown}, which the first run creates")
    try:
        open_store(uri)
    except UserError as error:
        state = str(error).partition(" Start the server")[0]
        advice = "start the server, correct MLFLOW_TRACKING_URI, or train with tracking=none"
        return Finding("MLflow", state.removeprefix("tracking.tracking_uri: "), advice)
    return Finding("MLflow", f"{shown} answers")
