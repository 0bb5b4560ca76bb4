"""Compiles the C++ kernels in `source/` for this processor when they are first needed.

It takes a C++ compiler and nothing else. Without one TensorFlow's own operations do the same work
more slowly. The variable `SEQ2SEQ_KERNELS` names the folder for the compiled code, by default one
in the cache; 0 turns the kernels off. `SEQ2SEQ_KERNEL_FLAGS` adds compiler flags, as `make
sanitize` does.
"""

import ctypes
import functools
import hashlib
import logging
import os
import subprocess
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager, nullcontext, suppress
from pathlib import Path
from typing import Any

import tensorflow as tf

from seq2seq.cache import cache_directory, ensure_directory
from seq2seq.errors import UserError
from seq2seq.ops.compiler import SOURCE, Compilation, find_compiler
from seq2seq.ops.private_folder import make_private, remove_foreign
from seq2seq.ops.processor import compiler_flags, describe_instructions, processor_features
from seq2seq.private_api import retrace_functions_in_xla
from seq2seq.progress import step

log = logging.getLogger(__name__)


def library() -> Any:
    """Returns the module of the kernels' operations.

    Raises:
        RuntimeError: If there are no kernels in this process.
    """
    module = load()
    if module is None:
        raise RuntimeError("there are no compiled kernels in this process")
    return module


def expected() -> bool:
    """Returns whether `load` finds or compiles kernels, unless compiling fails."""
    return os.environ.get("SEQ2SEQ_KERNELS") != "0" and find_compiler() is not None


@functools.cache
def load() -> Any | None:
    """Compiles the kernels, unless that was done before, and loads them; `None` if it fails."""
    if os.environ.get("SEQ2SEQ_KERNELS") == "0":
        return None
    compiler = find_compiler()
    if compiler is None:
        log.warning(
            "No C++ compiler was found (g++ or clang++, or the one that $CXX names): training is "
            "slower without compiled kernels."
        )
        return None
    try:
        exist = _folder_for(compiler).is_dir()
        with nullcontext() if exist else step("compiling the kernels for this processor, once"):
            folder = _compiled_folder(compiler).result()
        module = tf.load_op_library(str(folder / "kernels.so"))
    except (subprocess.CalledProcessError, UserError, tf.errors.OpError) as error:
        reason = getattr(error, "stderr", None) or str(error)
        log.warning(
            "The compiled kernels cannot be used, training is slower without them: %s",
            reason.strip()[-500:],
        )
        return None
    log.info("Kernels for %s", describe_instructions())
    _keep_freed_memory()
    retrace_functions_in_xla()
    _register_no_gradients(module)
    return module


@contextmanager
def compiled_in_background() -> Iterator[None]:
    """Compiles the kernels, unless that was done before, while the block runs.

    `load` waits for them. A block that ends by an exception ends the compilers.
    """
    compiler = find_compiler() if expected() else None
    if compiler is not None:
        _compiled_folder(compiler)
    try:
        yield
    except BaseException:
        _compilation().cancel()
        _forget()  # another run in this process compiles them
        raise


def state() -> str:
    """Returns `off`, `no compiler`, `not compiled`, `failed` or `compiled`; compiles nothing."""
    if os.environ.get("SEQ2SEQ_KERNELS") == "0":
        return "off"
    compiler = find_compiler()
    if compiler is None:
        return "no compiler"
    try:
        if not _folder_for(compiler).is_dir():
            return "not compiled"
    except (OSError, subprocess.CalledProcessError):
        return "failed"
    return "failed" if load() is None else "compiled"


@functools.cache
def _compilation() -> Compilation:
    return Compilation()


@functools.cache
def _compiled_folder(compiler: str) -> Future[Path]:
    """Returns the folder of the compiled kernels, which another thread writes if there is none."""

    def write(folder: Path) -> None:
        _compilation().run(compiler, folder / "kernels.so")
        for path in (folder, folder / "kernels.so"):
            path.chmod(0o700)

    def ensure() -> Path:
        target = _folder_for(compiler)
        make_private(target.parent)
        remove_foreign(target)
        return ensure_directory(target, write)

    return ThreadPoolExecutor(1, "compile").submit(ensure)


def _forget() -> None:
    _compilation.cache_clear()
    _compiled_folder.cache_clear()


def _folder_for(compiler: str) -> Path:
    """Returns the folder of the code that a compiler makes."""
    setting = os.environ.get("SEQ2SEQ_KERNELS")
    parent = Path(setting) if setting else cache_directory() / "kernels"
    return parent / _fingerprint(compiler)


def _fingerprint(compiler: str) -> str:
    """Returns a short hash of all that the compiled code depends on."""
    digest = hashlib.sha256()
    for path in sorted(SOURCE.iterdir()):
        digest.update(path.read_bytes())
    version = subprocess.run([compiler, "--version"], capture_output=True, check=True).stdout
    digest.update(version + tf.version.VERSION.encode() + " ".join(compiler_flags()).encode())
    digest.update(processor_features().encode())
    return digest.hexdigest()[:16]


def _register_no_gradients(module: Any) -> None:
    """Registers that operations have no gradients by themselves: functions around them have.

    Where TensorFlow differentiates a whole graph for the second time, it also asks for those of
    what a kernel saves for its gradient, which are zeros.
    """
    for name in dir(module):
        if name.startswith("Seq2seq"):
            with suppress(KeyError):  # registered before
                tf.no_gradient(name)


def _keep_freed_memory() -> None:
    """Makes glibc keep the memory of large tensors, which the system would fill with zeros."""
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError):
        return  # not glibc
    m_trim_threshold, m_top_pad, m_mmap_threshold = -1, -2, -3
    mallopt(m_mmap_threshold, 2**30)
    mallopt(m_trim_threshold, 2**31 - 1)
    mallopt(m_top_pad, 2**26)
