"""A sample of what `python -m benchmarks.faults` tries in the long run."""

import random
from pathlib import Path

import pytest

from benchmarks.faults import readers
from benchmarks.faults.mutations import damaged


@pytest.mark.parametrize("seed", range(3))
def test_readers_end_with_a_result_or_the_own_error(seed):
    assert list(readers.tried(range(len(readers.TARGETS) * 40), seed)) == []


def test_a_foreign_error_and_a_hang_are_failures(monkeypatch):
    def foreign(path, rng):
        raise KeyError("x")

    def endless(path, rng):
        while True:
            pass

    monkeypatch.setattr(readers, "SECONDS", 1)
    targets = {
        name: readers.Target(".txt", lambda rng: "a\n", read)
        for name, read in {"foreign": foreign, "endless": endless}.items()
    }
    monkeypatch.setattr(readers, "TARGETS", targets)
    failures = list(readers.tried(range(2), 0))
    assert [each.target for each in failures] == ["foreign", "endless"]
    assert "KeyError: 'x'" in failures[0].reason
    assert "TooLong" in failures[1].reason


def test_an_input_follows_from_its_number():
    made = [damaged(random.Random("1 7"), b"a text\n" * 9) for _ in range(2)]
    assert made[0] == made[1]


def test_readers_that_are_valid_accept_some_of_what_is_tried(tmp_path, monkeypatch):
    """If all inputs were refused, nothing would be tried."""
    accepted = set()
    for name, target in readers.TARGETS.items():

        def read(path, rng, name=name, target=target):
            target.read(Path(path), rng)
            accepted.add(name)

        monkeypatch.setitem(readers.TARGETS, name, readers.Target(target.ending, target.make, read))
    assert list(readers.tried(range(len(readers.TARGETS) * 15), 5)) == []
    assert accepted == set(readers.TARGETS)
