"""The kernels' C++ code, compiled for this processor when it is first needed.

The code needs a C++ compiler and nothing else. Without one, and wherever a graph may leave this
process, on a GPU and in XLA, TensorFlow's own operations do the same work more slowly. Which of
them are used is decided where a graph is made, see `usable`.
The variable `SEQ2SEQ_KERNELS` names the folder where the compiled code is kept, by default one in
the cache; 0 turns the kernels off. `SEQ2SEQ_KERNEL_FLAGS` adds flags for the compiler, as `make
sanitize` does.
"""

import ctypes
import functools
import hashlib
import logging
import os
import platform
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from pathlib import Path
from tempfile import TemporaryDirectory
from types import FrameType
from typing import Any

import tensorflow as tf
from tensorflow.python.eager import context
from tensorflow.python.eager.record import could_possibly_record
from tensorflow.python.ops.control_flow_ops import XLAControlFlowContext
from tensorflow.python.ops.control_flow_util import GraphOrParentsInXlaContext

from seq2seq.cache import cache_directory, ensure_directory
from seq2seq.errors import UserError
from seq2seq.kernels.private_folder import make_private, remove_foreign

log = logging.getLogger(__name__)

SOURCE = Path(__file__).parent / "source"
FLAGS = ("-std=c++17", "-O3", "-march=native", "-ffp-contract=fast", "-fPIC", "-pthread")
PAIRS = "-DSEQ2SEQ_PAIRS"
"""Multiplies bfloat16 two by two."""
QUADS = "-DSEQ2SEQ_QUADS"
"""Multiplies integers of 8 bits four by four."""
TYPES = (tf.float32, tf.bfloat16)
EXPORTERS = ("keras.src.export.", "tensorflow.python.saved_model.", "tensorflow.lite.python.")
"""Modules that make graphs for files."""

_stays_here: ContextVar[bool] = ContextVar("stays_here", default=False)


@contextmanager
def graphs_stay_here(kernels: bool = True) -> Iterator[None]:
    """Lets kernels into inference graphs too, within which they are traced.

    A saved or exported graph would be one that only this package could load. So without this only
    training, which nobody exports, uses kernels.

    Args:
        kernels: False for a part of such a graph that is faster without kernels.
    """
    token = _stays_here.set(kernels)
    try:
        yield
    finally:
        _stays_here.reset(token)


@contextmanager
def one_operation_at_a_time() -> Iterator[None]:
    """Runs the graphs that are called within one operation after the other, on this thread.

    Kernels share their work among threads themselves. TensorFlow's executor, which hands operations
    from thread to thread, only gets in their way: a search makes thousands of tiny ones.
    """
    if tf.config.list_logical_devices("GPU"):
        yield
        return
    with context.function_executor_type("SINGLE_THREADED_EXECUTOR"):
        yield


def leave_threads_to_kernels() -> None:
    """Tells TensorFlow not to run several operations of a training step side by side.

    Kernels use all processors one after the other; two of them at once only wait for each other.
    This has to be said before TensorFlow runs its first operation; later it changes nothing.
    """
    if _loaded() is not None and not tf.config.list_physical_devices("GPU"):
        with suppress(RuntimeError):  # TensorFlow has begun
            tf.config.threading.set_inter_op_parallelism_threads(1)


def usable(dtype: tf.DType, training: bool) -> bool:
    """Returns whether an operation on matrices of this dtype can and should be a kernel.

    In training that is where a gradient is wanted: a graph without one may be for a file (dropout
    at inference, an evaluation), or for a caller that compiles it with XLA.
    """
    return ((training and gradients_recorded()) or _stays_here.get()) and available(dtype)


def available(dtype: tf.DType) -> bool:
    """Returns whether an operation on matrices of this dtype can be a kernel."""
    return (
        dtype in TYPES
        and not tf.config.list_logical_devices("GPU")
        and not GraphOrParentsInXlaContext(tf.compat.v1.get_default_graph())
        and not _is_exported()
        and _loaded() is not None
    )


def gradients_recorded() -> bool:
    """Returns whether operations run now, or a tape records a graph that stays in this process.

    Only there a gradient of our own is of use; and a file cannot hold one.
    """
    return tf.executing_eagerly() or (could_possibly_record() and not _is_exported())


def _is_exported() -> bool:
    """Returns whether a graph is being made for a file: whoever writes it stands on the stack."""
    if tf.executing_eagerly():
        return False
    frame: FrameType | None = sys._getframe()
    while frame is not None:
        if frame.f_globals.get("__name__", "").startswith(EXPORTERS):
            return True
        frame = frame.f_back
    return False


def multiplies_8_bits() -> bool:
    """Returns whether kernels can make products of a search in 8 bits on this machine."""
    return QUADS in _flags() and not tf.config.list_physical_devices("GPU")


def library() -> Any:
    """Returns the module of the kernels' operations; `usable` tells whether there is one.

    Raises:
        RuntimeError: If there is none.
    """
    loaded = _loaded()
    if loaded is None:
        raise RuntimeError("there are no compiled kernels in this process")
    return loaded


@functools.cache
def _loaded() -> Any | None:
    asked = os.environ.get("SEQ2SEQ_KERNELS")
    if asked == "0":
        return None
    kept = Path(asked) if asked else cache_directory() / "kernels"
    compiler = _compiler()
    if compiler is None:
        log.warning(
            "No C++ compiler was found (g++ or clang++, or the one that $CXX names): training is "
            "slower without compiled kernels."
        )
        return None
    try:
        target = kept / _fingerprint(compiler)
        make_private(kept)
        remove_foreign(target)
        folder = ensure_directory(target, lambda folder: _compile_into(folder, compiler))
        loaded = tf.load_op_library(str(folder / "kernels.so"))
    except (subprocess.CalledProcessError, UserError, tf.errors.OpError) as error:
        reason = getattr(error, "stderr", None) or str(error)
        log.warning(
            "The compiled kernels cannot be used, training is slower without them: %s",
            reason.strip()[-500:],
        )
        return None
    _keep_memory()
    _trace_again_for_xla()
    _leave_gradients_to_functions(loaded)
    return loaded


def _compiler() -> str | None:
    asked = os.environ.get("CXX")
    names = [asked] if asked else ["g++", "clang++", "c++"]
    return next((path for name in names if (path := shutil.which(name))), None)


def _fingerprint(compiler: str) -> str:
    """Returns what the compiled code depends on, in a few letters."""
    digest = hashlib.sha256()
    for path in sorted(SOURCE.iterdir()):
        digest.update(path.read_bytes())
    version = subprocess.run([compiler, "--version"], capture_output=True, check=True).stdout
    digest.update(version + tf.version.VERSION.encode() + " ".join(_flags()).encode())
    digest.update(_processor().encode())
    return digest.hexdigest()[:16]


def _processor() -> str:
    """Returns what this processor can do: a home folder may be shared by several machines."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
        return next(line for line in lines if line.startswith(("flags", "Features")))
    except (OSError, StopIteration):
        return platform.processor() + platform.machine()


def _flags() -> tuple[str, ...]:
    """Returns the compiler's flags.

    AMD's processors multiply two pairs of bfloat16 in the time of two float32; Intel's take twice
    as long, so that they are faster with bfloat16 widened to float32. All that can multiply bytes
    gain by it.
    """
    try:
        about = Path("/proc/cpuinfo").read_text(encoding="utf-8")
    except OSError:
        about = ""
    pairs = "AuthenticAMD" in about and " avx512_bf16" in about and " avx512bw" in about
    quads = " avx512_vnni" in about and " avx512bw" in about
    more = shlex.split(os.environ.get("SEQ2SEQ_KERNEL_FLAGS", ""))
    return (*FLAGS, *[PAIRS] * pairs, *[QUADS] * quads, *more)


def _compile_into(folder: Path, compiler: str) -> None:
    _compile(compiler, folder / "kernels.so")
    for path in (folder, folder / "kernels.so"):
        path.chmod(0o700)


def _compile(compiler: str, target: Path) -> None:
    log.info("compiling the kernels for this processor, once")
    includes = [f for f in tf.sysconfig.get_compile_flags() if f.startswith(("-I", "-D"))]

    def run(*arguments: str) -> None:
        command = [compiler, *_flags(), *arguments]
        subprocess.run(command, capture_output=True, encoding="utf-8", errors="replace", check=True)

    with TemporaryDirectory() as folder, ThreadPoolExecutor(os.cpu_count()) as pool:
        sources = sorted(SOURCE.glob("*.cc"))
        objects = [str(Path(folder) / f"{source.stem}.o") for source in sources]
        compiled = [
            pool.submit(run, "-c", str(source), *includes, "-o", made)
            for source, made in zip(sources, objects, strict=True)
        ]
        for each in compiled:
            each.result()
        run("-shared", *objects, *tf.sysconfig.get_link_flags(), "-o", str(target))


def _trace_again_for_xla() -> None:
    """Has TensorFlow trace functions anew where they are called from one that XLA compiles.

    A function that was traced before holds kernels, which XLA does not know. TensorFlow has this
    rule for TPUs alone.
    """
    XLAControlFlowContext.RequiresUniqueFunctionRetracing = lambda context: True


def _leave_gradients_to_functions(loaded: Any) -> None:
    """Says that operations have no gradients by themselves: functions around them do.

    Where TensorFlow differentiates a whole graph for the second time, it also asks for those of
    what a kernel keeps for its gradient, which are zeros.
    """
    for name in dir(loaded):
        if name.startswith("Seq2seq"):
            with suppress(KeyError):  # said before
                tf.no_gradient(name)


def _keep_memory() -> None:
    """Lets glibc keep the memory of large tensors instead of giving it back at every step.

    What is given back has to be asked for again, and the system fills it with zeros first.
    """
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError):
        return  # not glibc
    m_trim_threshold, m_top_pad, m_mmap_threshold = -1, -2, -3
    mallopt(m_mmap_threshold, 2**30)
    mallopt(m_trim_threshold, 2**31 - 1)
    mallopt(m_top_pad, 2**26)
