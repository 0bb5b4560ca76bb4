"""The default MLflow store, a SQLite file, whose creation is killed."""

import os
import subprocess
import time

from seq2seq.tracking.mlflow_store import open_store
from tests.forked_commands import forked_python

CREATE = """
import os, signal, sys, threading, time
from seq2seq.tracking.mlflow_store import open_store
threading.Timer(float(sys.argv[2]), os.kill, (os.getpid(), signal.SIGKILL)).start()
print("creating", flush=True)
open_store(f"sqlite:///{sys.argv[1]}")
os._exit(0)
"""


def test_a_store_whose_creation_was_killed_is_created_anew(tmp_path):
    """Kills at several moments of the migrations, of which some leave half of the tables."""
    halves = 0
    for number in range(3):
        database = tmp_path / f"{number}.db"
        command = [forked_python(), "-c", CREATE, str(database), str(0.3 * (number + 1))]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        halves += done.returncode == -9
        client = open_store(f"sqlite:///{database}")
        assert [each.name for each in client.search_experiments()] == ["Default"]
        assert not list(tmp_path.glob("*.new*"))
    assert halves >= 1


def test_processes_that_create_one_store_wait_for_each_other(tmp_path):
    command = [forked_python(), "-c", CREATE, str(tmp_path / "mlflow.db"), "120"]
    start = time.monotonic()
    both = [subprocess.Popen(command, env={**os.environ}) for _ in range(2)]
    assert [process.wait(timeout=110) for process in both] == [0, 0]
    assert time.monotonic() - start < 110
    assert [
        each.name for each in open_store(f"sqlite:///{tmp_path}/mlflow.db").search_experiments()
    ]
