"""Runs clang-tidy on all C++ files, with the flags of the build; `make lint` calls it.

It needs no clang: the wheel of clang-tidy brings clang's own headers, and finds the C++ library of
GCC. All code for x86 is checked, whatever this processor has.
"""

import os
import platform
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import tensorflow as tf

from seq2seq.ops.compile import SOURCE
from seq2seq.ops.processor import AMX_FLAGS, FLAGS, INT8_QUADS

AVX512 = ("-march=x86-64-v4", "-mavx512bf16", "-mavx512vnni", *AMX_FLAGS, INT8_QUADS)
FOLDERS = (SOURCE, Path("tests/ops"), Path("benchmarks"))


def flags() -> list[str]:
    """Returns the compiler's flags."""
    result = [flag for flag in FLAGS if not flag.startswith("-march")]
    result += AVX512 if platform.machine() == "x86_64" else ()
    return [*result, f"-isystem{tf.sysconfig.get_include()}", f"-I{SOURCE}"]


def check(file: Path) -> subprocess.CompletedProcess[str]:
    """Checks a file and the headers that it includes."""
    command = [str(Path(sys.executable).with_name("clang-tidy")), "--quiet", str(file), "--"]
    return subprocess.run([*command, *flags()], capture_output=True, text=True, check=False)


def main() -> None:
    """Checks all files, and exits with 1 if there is something to say about them."""
    files = [file for folder in FOLDERS for file in sorted(folder.glob("*.cc"))]
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        results = list(pool.map(check, files))
    for result in results:
        sys.stdout.write(result.stdout)
        if result.returncode:
            sys.stderr.write(result.stderr)
    sys.exit(any(result.returncode for result in results))


if __name__ == "__main__":
    main()
