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
import shutil
import stat
import subprocess
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import tensorflow as tf

from seq2seq.cache import cache_directory, ensure_directory
from seq2seq.errors import UserError
from seq2seq.ops.processor import compiler_flags, describe_instructions, processor_features
from seq2seq.private_api import retrace_functions_in_xla
from seq2seq.progress import step

log = logging.getLogger(__name__)

SOURCE = Path(__file__).parent / "source"
WRITABLE_BY_OTHERS = stat.S_IWGRP | stat.S_IWOTH


def library() -> Any:
    """Returns the module of the kernels' operations.

    Raises:
        RuntimeError: If there are no kernels in this process.
    """
    module = load()
    if module is None:
        raise RuntimeError("there are no compiled kernels in this process")
    return module


@functools.cache
def load() -> Any | None:
    """Compiles the kernels, unless that was done before, and loads them; `None` if it fails."""
    if os.environ.get("SEQ2SEQ_KERNELS") == "0":
        return None
    compiler = _compiler()
    if compiler is None:
        log.warning(
            "No C++ compiler was found (g++ or clang++, or the one that $CXX names): training is "
            "slower without compiled kernels."
        )
        return None
    try:
        target = _folder_for(compiler)
        make_private(target.parent)
        remove_foreign(target)
        folder = ensure_directory(target, lambda folder: _compile_into(folder, compiler))
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


def state() -> str:
    """Returns `off`, `no compiler`, `not compiled`, `failed` or `compiled`; compiles nothing."""
    if os.environ.get("SEQ2SEQ_KERNELS") == "0":
        return "off"
    compiler = _compiler()
    if compiler is None:
        return "no compiler"
    try:
        if not _folder_for(compiler).is_dir():
            return "not compiled"
    except (OSError, subprocess.CalledProcessError):
        return "failed"
    return "failed" if load() is None else "compiled"


def _compiler() -> str | None:
    setting = os.environ.get("CXX")
    names = [setting] if setting else ["g++", "clang++", "c++"]
    return next((path for name in names if (path := shutil.which(name))), None)


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


def _compile_into(folder: Path, compiler: str) -> None:
    _compile(compiler, folder / "kernels.so")
    for path in (folder, folder / "kernels.so"):
        path.chmod(0o700)


def _compile(compiler: str, target: Path) -> None:
    includes = [f for f in tf.sysconfig.get_compile_flags() if f.startswith(("-I", "-D"))]

    def run(*arguments: str) -> None:
        command = [compiler, *compiler_flags(), *arguments]
        subprocess.run(command, capture_output=True, encoding="utf-8", errors="replace", check=True)

    with (
        step("compiling the kernels for this processor, once") as shown,
        TemporaryDirectory() as folder,
        ThreadPoolExecutor(os.cpu_count()) as pool,
    ):
        sources = sorted(SOURCE.glob("*.cc"))
        objects = [str(Path(folder) / f"{source.stem}.o") for source in sources]
        jobs = [
            pool.submit(run, "-c", str(source), *includes, "-o", output)
            for source, output in zip(sources, objects, strict=True)
        ]
        for done, job in enumerate(as_completed(jobs), start=1):
            job.result()
            shown.report(done, len(jobs))
        run("-shared", *objects, *tf.sysconfig.get_link_flags(), "-o", str(target))


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


def make_private(folder: Path) -> None:
    """Makes a folder that others cannot write to, or checks that it is one.

    Raises:
        UserError: If it belongs to somebody else than this user or root, or cannot be made.
    """
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        status = folder.stat()
        if status.st_uid == os.getuid() and status.st_mode & WRITABLE_BY_OTHERS:
            folder.chmod(0o700)
            status = folder.stat()
    except OSError as error:
        raise UserError(
            f"The folder {folder} cannot be used ({error.strerror or error})."
        ) from error
    if not _is_trusted(status):
        raise UserError(
            f"The folder {folder} belongs to, or can be written by, other users than this one and "
            "root, and code is loaded from it. Set the variable SEQ2SEQ_KERNELS to a folder of "
            "your own."
        )


def remove_foreign(folder: Path) -> None:
    """Removes a folder of compiled code that others may have written to, with a warning.

    Raises:
        UserError: If it cannot be removed.
    """
    if not os.path.lexists(folder):
        return
    if all(_is_trusted(entry.lstat()) for entry in (folder, *folder.glob("*.so"))):
        return
    log.warning("%s may have been written by other users and is made anew", folder)
    try:
        folder.unlink() if not folder.is_dir() or folder.is_symlink() else shutil.rmtree(folder)
    except OSError as error:
        raise UserError(
            f"{folder} may have been written by other users and cannot be removed "
            f"({error.strerror or error})."
        ) from error


def _is_trusted(status: os.stat_result) -> bool:
    """Returns whether only this user or root can write a file or folder, which is no link."""
    return (
        status.st_uid in (os.getuid(), 0)
        and not status.st_mode & WRITABLE_BY_OTHERS
        and not stat.S_ISLNK(status.st_mode)
    )
