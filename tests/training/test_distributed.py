"""Several workers, or devices, train the weights that one trains, bit by bit, for every task."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from seq2seq.worker_processes import worker_environments

PROGRAM = Path(__file__).with_name("distributed_program.py")
TASKS = ("translation", "tagging", "classification", "generation", "forecasting")
SHARDS = 4
SECONDS = 600
"""The deadline of each training."""


def train(folder, workers, tasks):
    """Trains the tasks in the folder, and returns the variables of each by worker."""
    processes = [
        subprocess.Popen(
            [sys.executable, PROGRAM, folder, str(SHARDS), *tasks],
            cwd=folder,
            env={**os.environ, "XDG_CACHE_HOME": str(folder / "cache"), **environment},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )
        for environment in worker_environments(workers)
    ]
    try:
        outputs = [process.communicate(timeout=SECONDS)[0].decode() for process in processes]
    finally:
        for process in processes:
            process.kill()
    assert not any(process.returncode for process in processes), "\n".join(outputs)
    return {task: variables_of(folder, task, str(workers)) for task in tasks}


def variables_of(folder, task, kind):
    """Returns the variables of a task after the training of each worker."""
    return [np.load(path) for path in sorted(folder.glob(f"{task}_{kind}_*.npz"))]


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """The variables of each task by the number of workers, or for devices, and the worker."""
    folder = tmp_path_factory.mktemp("distributed")
    lines = (f"{number} times {number} is {number * number}.\n" for number in range(2000))
    (folder / "text.txt").write_text("".join(lines), encoding="utf-8")
    return {
        1: train(folder, 1, TASKS),
        "devices": {task: variables_of(folder, task, "devices") for task in TASKS},
        2: train(folder, 2, TASKS[:-1]),
        4: train(folder, 4, TASKS[-1:]),
    }


@pytest.mark.parametrize("task", TASKS)
def test_any_number_of_workers_trains_the_same_weights(trained, task):
    [alone] = trained[1][task]
    states = [name for name in alone.files if "momentum" in name or "carried" in name]
    assert states
    assert all(alone[name].any() for name in states)
    others = [each for kind in ("devices", 2, 4) for each in trained[kind].get(task, ())]
    assert len(others) in (3, 5)
    for variables in others:
        assert variables.files == alone.files
        for name in alone.files:
            np.testing.assert_array_equal(variables[name], alone[name], err_msg=name)
