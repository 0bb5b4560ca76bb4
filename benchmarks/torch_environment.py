"""PyTorch's own virtual environment, and the settings that make it faster."""

import os
import platform
import subprocess
import sys
import tempfile
from pathlib import Path

TORCH = "2.13.0"

# Large arrays are kept for the next step instead of being given back to the system and fetched.
MALLOC = {
    "MALLOC_MMAP_THRESHOLD_": str(4 << 30),
    "MALLOC_TRIM_THRESHOLD_": str(8 << 30),
    "MALLOC_TOP_PAD_": str(256 << 20),
}


def cache_directory() -> Path:
    """Returns the folder of what is built once for all measurements."""
    default = Path.home() / ".cache" / "seq2seq-benchmarks"
    return Path(os.environ.get("SEQ2SEQ_BENCHMARKS", default))


def torch_python() -> Path:
    """Returns the Python of PyTorch's environment, which is built where there is none.

    Raises:
        RuntimeError: If it cannot be built.
    """
    directory = cache_directory() / f"torch-{TORCH}"
    python, finished = directory / "bin" / "python", directory / "installed"
    if finished.exists():
        return python
    print(f"Installing PyTorch {TORCH} into {directory} ...", file=sys.stderr)
    _run([sys.executable, "-m", "venv", "--clear", str(directory)])
    install = [str(python), "-m", "pip", "install", "--quiet", "numpy"]
    try:
        _run([*install, f"torch=={TORCH}+cpu"])
    except RuntimeError:
        _run([*install, f"torch=={TORCH}"])  # where no index has builds for the CPU alone
    finished.touch()
    return python


def tuned() -> dict[str, str]:
    """Returns the variables with which PyTorch is faster than as installed.

    On AMD processors MKL takes slow kernels, unless it is told that the processor is Intel's.

    Raises:
        RuntimeError: If there is no C compiler for that, on AMD.
    """
    if "AuthenticAMD" not in _processor():
        return MALLOC
    library = cache_directory() / "libmkl_intel_cpu.so"
    if not library.exists():
        library.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory() as folder:
            source = Path(folder, "mkl_intel_cpu.c")
            source.write_text("int mkl_serv_intel_cpu_true(void) { return 1; }\n")
            _run(["cc", "-shared", "-fPIC", "-o", str(library), str(source)])
    return {**MALLOC, "LD_PRELOAD": str(library)}


def _processor() -> str:
    path = Path("/proc/cpuinfo")
    return path.read_text(encoding="utf-8") if path.exists() else platform.processor()


def _run(command: list[str]) -> None:
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    except OSError as error:
        raise RuntimeError(f"{command[0]} cannot be run: {error}") from error
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)} failed:\n{done.stderr}")
