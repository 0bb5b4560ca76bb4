"""A sample of the commands that are killed at random times."""

import json

import pytest

from benchmarks.faults import random_kills, shim
from benchmarks.faults.__main__ import parser
from benchmarks.faults.system_calls import IDENTICAL

pytestmark = pytest.mark.skipif(shim.compiler() is None, reason="there is no C compiler")


def test_a_command_that_is_killed_ends_the_same(tmp_path, capsys):
    arguments = ["--folder", str(tmp_path), "--kills", "1", "--task", "classification"]
    options = parser().parse_args(["random_kills", *arguments])
    assert options.run(options) == 0
    lines = (tmp_path / "random_kills.jsonl").read_text(encoding="utf-8").splitlines()
    outcomes = [random_kills.Killed(**json.loads(line)) for line in lines]
    assert sum(len(each.kills) for each in outcomes) >= 1
    assert {each.outcome for each in outcomes} == {IDENTICAL}
    assert "identical" in capsys.readouterr().out
