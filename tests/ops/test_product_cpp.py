"""Compiles and runs the C++ tests of matrix products (`product_test.cc`)."""

import subprocess
from pathlib import Path

import pytest

from seq2seq.ops import compile

TEST = Path(__file__).with_name("product_test.cc")


def test_products_in_cpp(tmp_path):
    compiler = compile._compiler()
    if compiler is None:
        pytest.skip("there is no C++ compiler")
    program = tmp_path / "product_test"
    # Optimisation would take longer than the tests.
    command = [compiler, *compile.compiler_flags(), "-O1"]
    command += [f"-I{compile.SOURCE}", str(TEST), "-o", str(program)]
    for step in (command, [str(program)]):
        done = subprocess.run(step, capture_output=True, text=True, timeout=600, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
