"""The model of distributed steps, against counted messages and steps whose speed-up is known."""

import sys

import pytest

from benchmarks import __main__
from benchmarks.workers import (
    HANDLING,
    LATENCY,
    LINKS,
    WORKERS,
    Cost,
    sent_bytes,
    speed_up,
    step_seconds,
)

COST = Cost(serial=0.01, rows=0.08, dense=800, sparse=400, growth=1, tables=1)


@pytest.mark.parametrize("workers", [1, 2, 4, 8])
def test_the_bytes_are_those_of_all_messages(workers):
    sent = dict.fromkeys(range(workers), 0.0)
    for sender in range(workers):
        for receiver in range(workers):
            if receiver != sender:
                sent[sender] += 800 / workers  # the part that the receiver adds up
                sent[sender] += 800 / workers  # the sum of the part that the sender adds up
                sent[sender] += 400 / workers  # the rows of the sender's share of the batch
    assert list(sent.values()) == pytest.approx([sent_bytes(COST, workers)] * workers)


def test_a_step_has_its_share_of_the_rows_and_the_messages():
    assert step_seconds(COST, 1, 1e9) == pytest.approx(0.09)
    communication = 8 * LATENCY + 1000 * (1e-3 + HANDLING)
    assert step_seconds(COST, 2, 8_000) == pytest.approx(0.01 + 0.04 + communication)


def test_without_anything_else_speed_grows_with_the_workers():
    alone = Cost(serial=0.0, rows=1e9, dense=0, sparse=0, growth=1, tables=0)
    for workers in (1, 2, 256):
        for batches in (1, workers):
            expected = pytest.approx(workers, rel=1e-3)
            assert speed_up(alone, workers, 1e9, batches) == expected
        assert speed_up(alone, workers, 1e9, workers, accumulate=8) == expected


def test_larger_batches_divide_what_a_step_costs_anyhow():
    assert speed_up(COST, 256, 1e12) < 0.09 / 0.01
    assert speed_up(COST, 256, 1e12, batches=256) == pytest.approx(256, rel=0.1)
    assert speed_up(COST, 1, 1e12, accumulate=8) == pytest.approx(1)


def test_larger_steps_divide_what_is_sent_of_dense_gradients():
    step = step_seconds(COST, 2, 8_000, batches=2, accumulate=8)
    sent = 800 + 16 * 400 / 2  # the dense ones once, and the rows of 16 batches to half
    communication = 8 * LATENCY + sent * (1e-3 + HANDLING)
    assert step == pytest.approx(8 * (0.01 + 0.08) + communication)


def test_the_table_has_each_link_with_each_setting(capsys, monkeypatch):
    command = ["benchmarks", "workers", "--figures", "10,48,29,2.2,1"]
    monkeypatch.setattr(sys, "argv", command)
    __main__.main()
    lines = capsys.readouterr().out.strip().splitlines()
    assert len(lines) == 2 + len(LINKS) * 4
    assert all(line.count("|") == len(WORKERS) + 2 for line in lines)
    # 58 ms of one; of two 48 / 2 + 10 ms, 8 messages, and 29 + 1.1 MB by 0.8 ns and HANDLING each
    [cells] = [line for line in lines if line.startswith("| 10 Gbit/s, one batch divided")]
    assert float(cells.split("|")[3]) == pytest.approx(58 / (34 + 0.8 + 30.1 * 5.8), abs=0.05)
