"""MlflowTracker with real tracking servers that hang, die and recover."""

import math
import os
import shlex
import signal
import socket
import subprocess
import time
import urllib.request
from contextlib import closing
from functools import partial

import pytest
from mlflow import MlflowClient

from seq2seq.errors import UserError
from seq2seq.tracking import mlflow_tracker
from seq2seq.tracking.background import BackgroundSender
from seq2seq.tracking.mlflow_tracker import MlflowTracker


def free_port():
    with closing(socket.socket()) as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


class Server:
    """What a page command starts: a process that can hang, go on, and be killed."""

    def __init__(self, command, url, folder):
        self.url = url
        self._log = folder / "server.log"
        with self._log.open("w") as log:
            self._process = subprocess.Popen(
                command, cwd=folder, stdout=log, stderr=log, start_new_session=True
            )

    def wait_until_it_answers(self):
        def answers():
            try:
                return urllib.request.urlopen(f"{self.url}/health", timeout=2).status == 200
            except OSError:
                return False

        try:
            wait_until(answers, seconds=90)
        except AssertionError as error:
            error.add_note(self._log.read_text())
            raise

    def hang(self):
        os.killpg(self._process.pid, signal.SIGSTOP)

    def go_on(self):
        os.killpg(self._process.pid, signal.SIGCONT)

    def kill(self):
        if self._process.poll() is None:
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()


def wait_until(condition, seconds=20):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "timed out"
        time.sleep(0.05)


@pytest.fixture
def eager(monkeypatch):
    """Little patience, so that the test is fast."""
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "2")
    monkeypatch.setattr(
        mlflow_tracker,
        "BackgroundSender",
        partial(BackgroundSender, interval=0.1, interval_after_failure=0.5),
    )


def test_the_server_of_the_page_command_is_lost_and_found_and_lost(
    store, tmp_path, run_folder, eager, caplog, capfd
):
    local = MlflowTracker()
    local.start(run_folder, {"seed": 1}, {})
    local.log_folder(run_folder)
    local.finish()
    port = free_port()
    command = [*shlex.split(local.pages()["MLflow"]), "--port", str(port), "--workers", "1"]
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    server = Server(command, f"http://127.0.0.1:{port}", elsewhere)
    try:
        server.wait_until_it_answers()
        shows_the_run_of_the_file(server, local.run_id)
        survives_a_server_that_hangs(server, run_folder, caplog)
        caplog.clear()
        survives_a_server_that_dies(server, run_folder, caplog)
    finally:
        server.kill()
    assert capfd.readouterr() == ("", "")


def shows_the_run_of_the_file(server, run_id):
    assert MlflowClient(server.url).get_run(run_id).info.run_name == "first"
    address = f"{server.url}/get-artifact?path=mlflow_run_id&run_uuid={run_id}"
    with urllib.request.urlopen(address) as reply:
        assert reply.read().decode() == f"{run_id}\n"


def survives_a_server_that_hangs(server, run_folder, caplog):
    tracker = MlflowTracker(server.url, experiment="over http")
    tracker.start(run_folder, {"seed": 1}, {"recipe": "cldr_dates"})
    tracker.log_metrics({"loss": 3.0, "perplexity": float("inf")}, 1)
    client = MlflowClient(server.url)
    wait_until(lambda: client.get_metric_history(tracker.run_id, "loss"))

    server.hang()
    tracker.log_metrics({"loss": 2.0}, 2)
    tracker.log_folder(run_folder)
    wait_until(lambda: caplog.records)
    server.go_on()
    tracker.log_metrics({"loss": 1.0}, 3)
    tracker.log_table({"source": ["a"]}, "samples/test.json")
    tracker.finish("KILLED")

    (warning,) = [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]
    assert f"MLflow at {server.url} fails, the training goes on" in warning
    run = client.get_run(tracker.run_id)
    assert run.info.status == "KILLED"
    assert run.data.tags["recipe"] == "cldr_dates"
    assert math.isnan(run.data.metrics["perplexity"])
    losses = client.get_metric_history(tracker.run_id, "loss")
    assert [metric.value for metric in losses] == [3.0, 2.0, 1.0]
    (artifact,) = client.list_artifacts(tracker.run_id, "samples")
    assert artifact.path == "samples/test.json"
    page = f"{server.url}/#/experiments/{run.info.experiment_id}/runs/{run.info.run_id}"
    assert tracker.pages()["MLflow run"] == f"{page}?workflowType=machine_learning"
    assert "MLflow" not in tracker.pages()  # the server runs


def survives_a_server_that_dies(server, run_folder, caplog):
    tracker = MlflowTracker(server.url)
    tracker.start(run_folder, {"seed": 1}, {}, resume=True)
    server.kill()
    for step in range(10, 1010):
        tracker.log_metrics({"loss": 1.0}, step)
    began = time.perf_counter()
    tracker.log_folder(run_folder)
    tracker.finish("FINISHED")
    assert time.perf_counter() - began < 10
    messages = [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]
    assert len(messages) == 2
    assert "did not get the last 1000 metric values" in messages[1]


def _file_in_the_way(folder):
    (folder / "file").write_text("")
    return f"sqlite:///{folder}/file/mlflow.db"


def _no_database(folder):
    (folder / "notes.txt").write_text("These are no tables. " * 100)
    return f"sqlite:///{folder}/notes.txt"


def _newer_store(folder):
    """A store that another version of MLflow has made."""
    import sqlite3

    with closing(sqlite3.connect(folder / "mlflow.db")) as connection:
        connection.execute("UPDATE alembic_version SET version_num = '0123456789ab'")
        connection.commit()
    return f"sqlite:///{folder}/mlflow.db"


@pytest.mark.parametrize(
    ("make_uri", "reason"),
    [
        (lambda folder: "http://127.0.0.1:1", "refused"),
        (lambda folder: "postgresql://me:secret@127.0.0.1:1/runs", "refused|psycopg"),
        (lambda folder: "ftp://somewhere/runs", "unsupported URI"),
        (lambda folder: f"{folder}/mlruns", "maintenance mode"),
        (lambda folder: f"sqlite:///{folder}", "unable to open"),
        (lambda folder: "sqlite:////proc/mlflow/mlflow.db", "proc"),
        (_file_in_the_way, "Not a directory|File exists"),
        (_no_database, "not a database"),
        (_newer_store, "out-of-date database schema"),
    ],
)
def test_a_store_that_cannot_be_used(make_uri, reason, store, tmp_path, run_folder, capfd):
    refuses_to_start(make_uri(tmp_path), reason, run_folder)
    assert capfd.readouterr() == ("", "")


def test_a_server_that_never_answers(run_folder):
    with closing(socket.create_server(("127.0.0.1", 0))) as silent:
        uri = f"http://127.0.0.1:{silent.getsockname()[1]}"
        refuses_to_start(uri, "timed out", run_folder)


def refuses_to_start(uri, reason, run_folder):
    began = time.perf_counter()
    with pytest.raises(UserError, match=reason) as error:
        MlflowTracker(uri).start(run_folder, {}, {})
    assert time.perf_counter() - began < 10
    message = str(error.value)
    assert message.startswith("tracking.tracking_uri: the MLflow store ")
    assert message.endswith("tracking=none.")
    assert "secret" not in message
    assert "\n" not in message
    assert not list(run_folder.iterdir())
