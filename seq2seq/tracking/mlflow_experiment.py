"""The MLflow experiment that runs belong to, and its pages."""

import json
import shlex
import shutil
import sys
from pathlib import Path

from mlflow import MlflowClient
from mlflow.exceptions import MlflowException

from seq2seq.errors import UserError
from seq2seq.tracking.mlflow_store import sqlite_file, without_password

LOCAL_SERVER = "http://127.0.0.1:5000"
"""The default address of `mlflow ui`."""
EXPERIMENT_TAGS = {
    "mlflow.experimentKind": "custom_model_development",
    "mlflow.sharedViewState.scores": json.dumps(
        {
            "selectedColumns": [
                "attributes.`Duration`",
                "attributes.`Models`",
                "metrics.`main_score`",
                "tags.`task`",
            ]
        }
    ),
}
"""Make MLflow's page show an experiment as one of model training, and define the view of its list
of runs that has a column for the main score: `viewStateShareKey=scores`."""


def experiment_id(client: MlflowClient, name: str, uri: str, artifact_location: str | None) -> str:
    """Returns the id of an experiment, which is made if there is none of that name.

    Args:
        client: Of the store.
        name: The experiment's name.
        uri: The address of the store.
        artifact_location: Where files of a new experiment go; None for the store's default, which
            is `mlartifacts` beside an SQLite file.

    Raises:
        UserError: If the experiment is deleted.
        MlflowException: If the store fails.
    """
    experiment = client.get_experiment_by_name(name)
    if experiment is None:
        location, database = artifact_location, sqlite_file(uri)
        if location is None and database is not None:
            location = str(database.with_name("mlartifacts"))
        try:
            return str(client.create_experiment(name, location, EXPERIMENT_TAGS))
        except MlflowException as error:
            if error.error_code != "RESOURCE_ALREADY_EXISTS":
                raise
        # Another process has created it in the meantime.
        experiment = client.get_experiment_by_name(name)
    if experiment.lifecycle_stage != "active":
        raise UserError(
            f"tracking.experiment: the MLflow experiment {name!r} is deleted. "
            "Choose another name, or bring it back with: mlflow experiments restore "
            f"--experiment-id {experiment.experiment_id}"
        )
    for key, value in EXPERIMENT_TAGS.items():
        if key not in experiment.tags:  # it was created by other means
            client.set_experiment_tag(experiment.experiment_id, key, value)
    return str(experiment.experiment_id)


def pages(uri: str, experiment: str, run_id: str) -> dict[str, str]:
    """Returns the run's and the list's address, after the command that starts the server.

    Args:
        uri: The address of the store.
        experiment: The experiment's id.
        run_id: The run's id.
    """
    is_server = uri.startswith(("http://", "https://"))
    server = uri.rstrip("/") if is_server else LOCAL_SERVER
    runs = f"{server}/#/experiments/{experiment}/runs"
    # Without the type, MLflow shows its pages for language model applications.
    training = "workflowType=machine_learning"
    addresses = {
        "MLflow run": f"{runs}/{run_id}?{training}",
        "MLflow runs": f"{runs}?viewStateShareKey=scores&{training}",
    }
    if is_server:
        return addresses
    beside_python = Path(sys.executable).with_name("mlflow")
    is_on_path = shutil.which("mlflow") == str(beside_python)
    program = ["mlflow"] if is_on_path else [sys.executable, "-m", "mlflow"]
    command = shlex.join([*program, "ui", "--backend-store-uri", without_password(uri)])
    return {"MLflow": command, **addresses}
