"""The peers' own virtual environments, and the settings that make PyTorch faster."""

import os
import platform
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

TORCH = "2.14.1"
JOEYNMT = "2.3.0"
NEURALFORECAST = "3.3.0"
EOLE = "0.6.4"
PYMARIAN, PYTHON_OF_PYMARIAN = "1.12.42", "3.11"
OPENNMT_TF, TENSORFLOW_OF_OPENNMT_TF, PYTHON_OF_OPENNMT_TF = "2.32.0", "2.13.1", "3.10"

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


def own_python() -> Path:
    """Returns the Python that runs this."""
    return Path(sys.executable)


def torch_python() -> Path:
    """Returns the Python of PyTorch's environment, which is built where there is none.

    Raises:
        RuntimeError: If it cannot be built.
    """
    return _environment(f"torch-{TORCH}", own_python(), *_with_torch("numpy"))


def joeynmt_python() -> Path:
    """Returns the Python of JoeyNMT's environment, which is built where there is none.

    Raises:
        RuntimeError: If it cannot be built.
    """
    # JoeyNMT imports importlib_metadata without asking for it.
    packages = _with_torch("numpy", f"joeynmt=={JOEYNMT}", "importlib_metadata")
    return _environment(f"joeynmt-{JOEYNMT}-torch-{TORCH}", own_python(), *packages)


def neuralforecast_python() -> Path:
    """Returns the Python of NeuralForecast's environment, which is built where there is none.

    Raises:
        RuntimeError: If it cannot be built.
    """
    packages = _with_torch(f"neuralforecast=={NEURALFORECAST}")
    return _environment(f"neuralforecast-{NEURALFORECAST}-torch-{TORCH}", own_python(), *packages)


def eole_python() -> Path:
    """Returns the Python of EOLE's environment, which is built where there is none.

    Raises:
        RuntimeError: If it cannot be built.
    """
    return _environment(f"eole-{EOLE}", own_python(), *_with_torch(f"eole=={EOLE}"))


def marian_python() -> Path:
    """Returns the Python of Marian's environment, which is built where there is none.

    Raises:
        RuntimeError: If it cannot be built, or there is no Python that its build was made for.
    """
    python = own_python()
    if ".".join(platform.python_version_tuple()[:2]) != PYTHON_OF_PYMARIAN:
        python = _other_python(PYTHON_OF_PYMARIAN)
    return _environment(f"pymarian-{PYMARIAN}", python, [f"pymarian=={PYMARIAN}", "numpy"])


def opennmt_tf_python() -> Path:
    """Returns the Python of OpenNMT-tf's environment, which is built where there is none.

    Raises:
        RuntimeError: If it cannot be built, or there is no Python old enough for its TensorFlow.
    """
    opennmt_tf, version = f"OpenNMT-tf=={OPENNMT_TF}", TENSORFLOW_OF_OPENNMT_TF
    packages = [[opennmt_tf, f"tensorflow-cpu=={version}"], [opennmt_tf, f"tensorflow=={version}"]]
    return _environment(f"opennmt-tf-{OPENNMT_TF}", _other_python(PYTHON_OF_OPENNMT_TF), *packages)


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
            source.write_text("int mkl_serv_intel_cpu_true(void) { return 1; }\n", encoding="utf-8")
            _run(["cc", "-shared", "-fPIC", "-o", str(library), str(source)])
    return {**MALLOC, "LD_PRELOAD": str(library)}


def _with_torch(*packages: str) -> list[list[str]]:
    # Not every index has builds for the CPU alone.
    return [[f"torch=={TORCH}{build}", *packages] for build in ("+cpu", "")]


def _environment(name: str, python: Path, *choices: list[str]) -> Path:
    """Returns the Python of an environment, with the first of some packages that can be had."""
    directory = cache_directory() / name
    own, finished = directory / "bin" / "python", directory / "installed"
    if finished.exists():
        return own
    print(f"Building {directory} ...", file=sys.stderr)
    _run([str(python), "-m", "venv", "--clear", str(directory)])
    errors = []
    for packages in choices:
        try:
            _run([str(own), "-m", "pip", "install", "--quiet", *packages])
        except RuntimeError as error:
            errors.append(str(error))
        else:
            finished.touch()
            return own
    raise RuntimeError("\n".join(errors))


def _other_python(version: str) -> Path:
    """Returns a Python of a version, such as `3.10`: on the path, or pyenv's."""
    pyenv = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv"), "versions")
    for found in sorted(pyenv.glob(f"{version}.*/bin/python"), reverse=True):
        return found
    if path := shutil.which(f"python{version}"):
        return Path(path)
    raise RuntimeError(f"Python {version} is neither on the path nor in {pyenv}")


def _processor() -> str:
    path = Path("/proc/cpuinfo")
    return path.read_text(encoding="utf-8") if path.exists() else platform.processor()


def _run(command: list[str]) -> None:
    try:
        done = subprocess.run(command, capture_output=True, encoding="utf-8", check=False)
    except OSError as error:
        raise RuntimeError(f"{command[0]} cannot be run: {error}") from error
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)} failed:\n{done.stderr}")
