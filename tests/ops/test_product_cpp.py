"""Compiles and runs the C++ tests of matrix products (`product_test.cc`) for several processors."""

import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest

from seq2seq.ops import compile
from seq2seq.ops.processor import AMX_FLAGS, FLAGS, INT8_QUADS, compiler_flags, processor_features

TEST = Path(__file__).with_name("product_test.cc")
MICROKERNELS = compile.SOURCE / "microkernels.cc"
EMULATOR = Path(__file__).with_name("amx_emulator.cc")

PORTABLE = tuple(flag for flag in FLAGS if not flag.startswith("-march"))


@dataclass(frozen=True)
class Case:
    """A compiler, its flags, and what is needed to run what it makes.

    Attributes:
        flags: The flags of the kernels.
        features: What the processor has to have: else it cannot run them, or they are its own.
        compiler: The compiler; None for the one that the kernels are compiled by.
        runner: The program that runs the test's program, if the processor cannot.
        sources: What is linked into the test's program.
    """

    flags: tuple[str, ...]
    features: frozenset[str] = frozenset()
    compiler: str | None = None
    runner: str | None = None
    sources: tuple[Path, ...] = ()


CASES = {
    "this processor": Case(compiler_flags()),
    "AVX2": Case((*FLAGS, "-mno-avx512f"), frozenset({"avx512f"})),
    "SSE2": Case((*PORTABLE, "-march=x86-64"), frozenset({"avx"})),
    "AMX": Case(
        (*FLAGS, *AMX_FLAGS, INT8_QUADS),
        frozenset({"avx512_bf16", "avx512_vnni"}),
        sources=(EMULATOR,),
    ),
    "AArch64": Case(
        (*PORTABLE, "-static"), compiler="aarch64-linux-gnu-g++", runner="qemu-aarch64"
    ),
    "clang": Case(compiler_flags(), compiler="clang++"),
}


@pytest.mark.parametrize("name", CASES)
def test_products_in_cpp(tmp_path, name):
    case = CASES[name]
    compiler = compile.find_compiler() if case.compiler is None else shutil.which(case.compiler)
    if compiler is None:
        pytest.skip(f"there is no {case.compiler or 'C++ compiler'}")
    if case.runner is not None and shutil.which(case.runner) is None:
        pytest.skip(f"there is no {case.runner}")
    if not case.features <= set(processor_features().split()):
        pytest.skip("this processor's own kernels are the same, or it cannot run these")
    program = tmp_path / "product_test"
    # Optimisation would take longer than the tests.
    command = [compiler, *case.flags, "-O1", f"-I{compile.SOURCE}", str(TEST), str(MICROKERNELS)]
    command += [*map(str, case.sources), "-o", str(program)]
    for step in (command, [*filter(None, [case.runner]), str(program)]):
        done = subprocess.run(step, capture_output=True, text=True, timeout=600, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
