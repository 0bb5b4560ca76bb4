"""Runs the C++ compiler on the sources of the kernels."""

import os
import shutil
import subprocess
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from tempfile import TemporaryDirectory

import tensorflow as tf

from seq2seq.ops.processor import compiler_flags

SOURCE = Path(__file__).parent / "source"
LONGEST = ("recurrent", "recurrent_step", "bidirectional", "microkernels")
"""The files that take longest, which are begun first: so all processors end at about one time."""


def find_compiler() -> str | None:
    """Returns the path of the compiler that `$CXX` names, or else of the first one there is."""
    setting = os.environ.get("CXX")
    names = [setting] if setting else ["g++", "clang++", "c++"]
    return next((path for name in names if (path := shutil.which(name))), None)


class Compilation:
    """Compiles the sources, a file on each processor; another thread may cancel it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._processes: set[subprocess.Popen[str]] = set()
        self._cancelled = False

    def run(self, compiler: str, target: Path) -> None:
        """Writes the library of all kernels.

        Raises:
            subprocess.CalledProcessError: If the compiler fails, or `cancel` has ended it.
        """
        includes = [f for f in tf.sysconfig.get_compile_flags() if f.startswith(("-I", "-D"))]
        sources = sorted(SOURCE.glob("*.cc"), key=lambda path: (path.stem not in LONGEST, path))
        with TemporaryDirectory() as folder, ThreadPoolExecutor(os.cpu_count()) as pool:
            objects = [str(Path(folder) / f"{source.stem}.o") for source in sources]

            def compile_file(source: Path, output: str) -> None:
                self._run(compiler, "-c", str(source), *includes, "-o", output)

            list(pool.map(compile_file, sources, objects))
            self._run(
                compiler, "-shared", *objects, *tf.sysconfig.get_link_flags(), "-o", str(target)
            )

    def cancel(self) -> None:
        """Ends the compilers that run, and starts no further ones."""
        with self._lock:
            self._cancelled = True
            for process in self._processes:
                process.terminate()

    def _run(self, compiler: str, *arguments: str) -> None:
        command = [compiler, *compiler_flags(), *arguments]
        with self._lock:
            if self._cancelled:
                raise subprocess.CalledProcessError(-1, command, stderr="cancelled")
            process = subprocess.Popen(
                command,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.PIPE,
                encoding="utf-8",
                errors="replace",
            )
            self._processes.add(process)
        _, stderr = process.communicate()
        with self._lock:
            self._processes.remove(process)
        if process.returncode != 0:
            raise subprocess.CalledProcessError(process.returncode, command, stderr=stderr)
