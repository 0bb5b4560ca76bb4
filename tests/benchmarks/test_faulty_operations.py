"""Raw operations refuse what does not fit, and nothing ends their process."""

import os

import pytest

from benchmarks.faults import operations
from seq2seq.ops.compile import library

SANITIZED = "-fsanitize" in os.environ.get("SEQ2SEQ_KERNEL_FLAGS", "")


@pytest.mark.compiled
def test_random_inputs_give_a_result_or_are_refused(monkeypatch):
    """A sample; `python -m benchmarks.faults operations` is the long run."""
    if SANITIZED:
        monkeypatch.setattr(operations, "CALL_SECONDS", 60)
    found = operations.tried(3000, seed=0)
    assert found.faults == []
    assert sum(found.counts.values()) == 3000
    assert min(found.counts["result"], found.counts["refused"]) > 500


@pytest.mark.compiled
def test_no_operation_is_left_out():
    names = {name for name in dir(library()) if name.startswith("seq2seq_")}
    assert {f"seq2seq_{name}" for name in operations.SHAPES} == {
        name for name in names if not name.endswith("_eager_fallback")
    }


@pytest.mark.skipif(SANITIZED, reason="the address sanitizer turns signals into exit statuses")
def test_a_signal_and_a_hang_are_named_and_the_rest_goes_on(monkeypatch):
    child = """
import os, sys, time
first, inputs = (int(argument.split("=")[1]) for argument in sys.argv[-2:])
for index in range(first, first + inputs):
    print("call", index, "dense", flush=True)
    if index == 1:
        os.kill(os.getpid(), 11)
    if index == 3:
        time.sleep(60)
    print("result", flush=True)
"""
    monkeypatch.setattr(operations, "COMMAND", ("-c", child))
    monkeypatch.setattr(operations, "CALL_SECONDS", 1)
    found = operations.tried(5, seed=9)
    assert found.faults == [
        "dense: exit status -11, seed 9, input 1",
        "dense: hangs, seed 9, input 3",
    ]
    assert found.counts == {"result": 3}
