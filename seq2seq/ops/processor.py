"""Which instructions of this processor the kernels use, as flags for their compiler."""

import ctypes
import functools
import os
import platform
import shlex
from pathlib import Path

FLAGS = ("-std=c++17", "-O3", "-march=native", "-ffp-contract=fast", "-fPIC", "-pthread")
BFLOAT16_PAIRS = "-DSEQ2SEQ_PAIRS"
"""Multiplies pairs of bfloat16 (AVX-512 BF16)."""
INT8_QUADS = "-DSEQ2SEQ_QUADS"
"""Multiplies groups of four 8-bit integers (AVX-512 VNNI, or AMX)."""
AMX = "-DSEQ2SEQ_AMX"
"""Multiplies tiles of bfloat16 and of 8-bit integers (AMX)."""
AMX_FLAGS = ("-mamx-tile", "-mamx-bf16", "-mamx-int8", AMX)

CPUINFO = Path("/proc/cpuinfo")
ARCH_PRCTL, ARCH_REQ_XCOMP_PERM, XFEATURE_XTILEDATA = 158, 0x1023, 18
"""The system call that asks for AMX, on x86-64, and its arguments (Linux 5.16 and later)."""


def compiler_flags() -> tuple[str, ...]:
    """Returns the compiler's flags for this processor.

    AMD's processors multiply two pairs of bfloat16 in the time of two float32; Intel's take twice
    as long and are faster with bfloat16 widened to float32, unless they have AMX. All with VNNI
    gain by 8-bit products.
    """
    features = _features()
    amx = {"amx_tile", "amx_bf16", "amx_int8", "avx512_bf16", "avx512_vnni"} <= features
    amx = amx and "avx512bw" in features and _may_use_amx()
    pairs = {"avx512_bf16", "avx512bw"} <= features and "AuthenticAMD" in _cpuinfo()
    quads = {"avx512_vnni", "avx512bw"} <= features
    extra = shlex.split(os.environ.get("SEQ2SEQ_KERNEL_FLAGS", ""))
    return (*FLAGS, *AMX_FLAGS * amx, *[BFLOAT16_PAIRS] * pairs, *[INT8_QUADS] * quads, *extra)


def describe_instructions() -> str:
    """Returns the instructions that kernels are made of, such as `AVX-512 (bfloat16, int8)`."""
    features, flags = _features(), compiler_flags()
    narrow = ["bfloat16"] * (BFLOAT16_PAIRS in flags) + ["int8"] * (INT8_QUADS in flags)
    if AMX in flags:
        return "AMX (bfloat16, int8), AVX-512"
    if "avx512f" in features:
        return f"AVX-512 ({', '.join(narrow)})" if narrow else "AVX-512"
    names = {"avx2": "AVX2", "avx": "AVX", "sse2": "SSE2", "asimd": "NEON"}
    return next((text for name, text in names.items() if name in features), platform.machine())


def processor_features() -> str:
    """Returns all features of this processor, as the system lists them."""
    lines = (line for line in _cpuinfo().splitlines() if line.startswith(("flags", "Features")))
    return next(lines, platform.processor() + platform.machine())


def _features() -> set[str]:
    return set(processor_features().split())


def _cpuinfo() -> str:
    try:
        return CPUINFO.read_text(encoding="utf-8")
    except OSError:
        return ""


@functools.cache
def _may_use_amx() -> bool:
    """Asks the system to let this process use AMX; returns whether it does."""
    try:
        syscall = ctypes.CDLL(None).syscall
    except (OSError, AttributeError):
        return False
    return syscall(ARCH_PRCTL, ARCH_REQ_XCOMP_PERM, XFEATURE_XTILEDATA) == 0
