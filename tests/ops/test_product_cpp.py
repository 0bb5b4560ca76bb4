"""Compiles and runs the C++ tests of matrix products (`product_test.cc`)."""

import subprocess
from pathlib import Path

import pytest

from seq2seq.ops import compile
from seq2seq.ops.processor import AMX_FLAGS, FLAGS, INT8_QUADS, compiler_flags, processor_features

TEST = Path(__file__).with_name("product_test.cc")
EMULATOR = Path(__file__).with_name("amx_emulator.cc")

KERNELS = {
    "of this processor": compiler_flags(),
    "AVX2": (*FLAGS, "-mno-avx512f"),
    "SSE": (*FLAGS, "-march=x86-64"),
    "AMX": (*FLAGS, *AMX_FLAGS, INT8_QUADS),
}
NEEDED = {"AVX2": {"avx512f"}, "SSE": {"avx"}, "AMX": {"avx512_bf16", "avx512_vnni"}}
"""What a processor has to have, or else the kernels are those of another case, or cannot run."""


@pytest.mark.parametrize("name", KERNELS)
def test_products_in_cpp(tmp_path, name):
    compiler = compile._compiler()
    if compiler is None:
        pytest.skip("there is no C++ compiler")
    if not NEEDED.get(name, set()) <= set(processor_features().split()):
        pytest.skip("this processor's own kernels are the same, or it cannot run these")
    program = tmp_path / "product_test"
    # Optimisation would take longer than the tests.
    command = [compiler, *KERNELS[name], "-O1", f"-I{compile.SOURCE}", str(TEST), str(EMULATOR)]
    for step in ([*command, "-o", str(program)], [str(program)]):
        done = subprocess.run(step, capture_output=True, text=True, timeout=600, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
