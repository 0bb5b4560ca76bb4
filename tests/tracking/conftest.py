import logging
import shutil

import pytest


@pytest.fixture(scope="session")
def empty_store(tmp_path_factory):
    """A SQLite store with MLflow's tables in it: making them takes seconds, a copy none."""
    from seq2seq.tracking.mlflow_store import open_store, resolve_uri

    database = tmp_path_factory.mktemp("store") / "mlflow.db"
    open_store(resolve_uri(f"sqlite:///{database}"))
    return database


@pytest.fixture(autouse=True)
def _as_a_user_has_it(monkeypatch):
    """No MLflow variables from outside, and none from one test to the next."""
    for name in ("TRACKING_URI", "RUN_ID", "EXPERIMENT_NAME"):
        monkeypatch.delenv(f"MLFLOW_{name}", raising=False)
    for name in ("HTTP_REQUEST_TIMEOUT", "HTTP_REQUEST_MAX_RETRIES"):
        monkeypatch.setenv(f"MLFLOW_{name}", "")  # so that monkeypatch restores it
        monkeypatch.delenv(f"MLFLOW_{name}")
    logging.getLogger("seq2seq").propagate = True


@pytest.fixture
def store(tmp_path, empty_store, monkeypatch):
    """The folder that the command is run from, with the default store in it."""
    shutil.copy(empty_store, tmp_path / "mlflow.db")
    monkeypatch.chdir(tmp_path)
    return f"sqlite:///{tmp_path}/mlflow.db"


@pytest.fixture
def run_folder(tmp_path):
    folder = tmp_path / "runs" / "first"
    folder.mkdir(parents=True)
    return folder
