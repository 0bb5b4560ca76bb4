"""Logs the models of runs to MLflow, registers them, and finds registered models."""

import re
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import mlflow.artifacts
from mlflow import MlflowClient, pyfunc
from mlflow.entities import LoggedModel, LoggedModelOutput, LoggedModelStatus, Run
from mlflow.entities.model_registry import ModelVersion
from mlflow.exceptions import MlflowException
from mlflow.models import Model

from seq2seq.errors import UserError
from seq2seq.files import temporary_folder
from seq2seq.private_api import mlflow_without_package_scan
from seq2seq.tracking.mlflow_store import (
    open_store,
    reason,
    resolve_uri,
    store_errors,
    without_password,
)
from seq2seq.tracking.served_model import MODEL, input_example, signature_of
from seq2seq.tracking.wheel import write_wheel
from seq2seq.version import installed_distribution

CODE = Path(__file__).parents[1] / "inference" / "served_code.py"
ADDRESS = re.compile(r"models:/(?P<name>[^@/]+)(@(?P<alias>[^/]+)|/(?P<version>\d+))?")
WHEELS = "wheels"
"""The folder of wheels in a logged model, by MLflow's convention."""
COPIED_TAGS = ("recipe", "task", "data", "mlflow.note.content")
"""The tags of a run that its model has, too."""
_UNSAFE = re.compile(r"[/:.%\"']")
"""Characters that MLflow rejects in the names of models."""
PINNED = ("tensorflow", "keras", "mlflow", "tokenizers", "numpy")


def log_model(
    client: MlflowClient,
    run_id: str,
    model_folder: Path,
    example: Any,
    row: Mapping[str, Any],
    step: int,
) -> str:
    """Logs a model folder as the MLflow model of a run, and returns the model's id.

    MLflow's own `log_model` depends on its global state; this one names store and run explicitly.
    `example` is an input of the model: a text, tokens, or the rows of a table; `row` is a row of
    its answer.
    """
    run = client.get_run(run_id)
    earlier = models_of(client, run)
    logged = client.create_logged_model(
        run.info.experiment_id,
        name=_UNSAFE.sub("-", run.data.tags.get("recipe", MODEL)),
        source_run_id=run_id,
        tags={name: value for name, value in run.data.tags.items() if name in COPIED_TAGS},
        params=run.data.params,
        model_type=run.data.tags.get("task"),
    )
    description = Model(
        artifact_path=logged.artifact_location,
        model_uuid=logged.model_id,
        run_id=run_id,
        model_id=logged.model_id,
    )
    with tempfile.TemporaryDirectory() as folder, mlflow_without_package_scan():
        wheel = write_wheel(Path(folder, WHEELS))
        pyfunc.save_model(
            path=f"{folder}/saved",
            mlflow_model=description,
            python_model=str(CODE),
            artifacts=_artifacts(model_folder),
            signature=signature_of(example, row),
            input_example=input_example(example),
            pip_requirements=requirements(wheel.name),
        )
        wheel.parent.rename(f"{folder}/saved/{WHEELS}")
        client.log_model_artifacts(logged.model_id, f"{folder}/saved")
    client.finalize_logged_model(logged.model_id, LoggedModelStatus.READY)
    client.log_outputs(run_id, [LoggedModelOutput(logged.model_id, step)])
    registered = {v.source for v in client.search_model_versions(f"run_id = '{run_id}'")}
    for model in earlier:
        if model.artifact_location not in registered:
            client.delete_logged_model(model.model_id)
    return str(logged.model_id)


def models_of(client: MlflowClient, run: Run) -> list[LoggedModel]:
    """Returns the models that a run has logged, the newest first."""
    return list(
        client.search_logged_models(
            [run.info.experiment_id],
            filter_string=f"source_run_id = '{run.info.run_id}'",
            order_by=[{"field_name": "creation_timestamp", "ascending": False}],
        )
    )


def _artifacts(model_folder: Path) -> dict[str, str]:
    """Returns the model folder and, if it exists, the folder of the run's config."""
    config = model_folder.with_name(".hydra")
    return {MODEL: str(model_folder), **({"config": str(config)} if config.is_dir() else {})}


def requirements(wheel: str) -> list[str]:
    """Returns what is needed to load a model: the wheel in its folder, and the pinned versions."""
    distributions = filter(None, map(installed_distribution, PINNED))
    return [f"{WHEELS}/{wheel}", *(f"{name}=={version}" for name, version in distributions)]


class Registry:
    """The model registry of an MLflow store.

    Args:
        tracking_uri: As `tracking.tracking_uri` of a config; if null, the same default.

    Raises:
        UserError: If the store does not answer.
    """

    def __init__(self, tracking_uri: str | None = None) -> None:
        self.uri = resolve_uri(tracking_uri)
        self.client: MlflowClient = open_store(self.uri)

    def register(self, run_id: str, name: str, alias: str | None = None) -> int:
        """Registers the model of a run, by a name and an alias such as `champion`.

        Returns:
            The number of the new version; the existing one if the run is already registered.

        Raises:
            UserError: If the run has no model, or the name is invalid.
        """
        with store_errors(self.uri):
            run = self.client.get_run(run_id)
            models = models_of(self.client, run)
        if not models:
            raise UserError(
                f"run {run_id} has logged no model (tracking.models was false, or it did not end)"
            )
        try:
            try:
                self.client.create_registered_model(name)
            except MlflowException as error:
                if error.error_code != "RESOURCE_ALREADY_EXISTS":
                    raise
            versions = self.client.search_model_versions(f"name = '{name}'")
            source = models[0].artifact_location
            version = next((version for version in versions if version.source == source), None)
            if version is None:
                version = self.client.create_model_version(
                    name, source, run_id=run_id, model_id=models[0].model_id
                )
            if alias is not None:
                self.client.set_registered_model_alias(name, alias, version.version)
        except MlflowException as error:
            raise UserError(f"--name {name}: {reason(error)}") from error
        return int(version.version)

    def find(self, address: str) -> tuple[str, str]:
        """Returns the run id and the address of the files of a registered model.

        The model's address is `models:/NAME@ALIAS`, `models:/NAME/VERSION`, or `models:/NAME` for
        the newest version.

        Raises:
            UserError: If there is no such model.
        """
        version = self._version(address)
        return str(version.run_id), str(version.source)

    def fixed_address(self, address: str) -> str:
        """Returns the address of a registered model as `models:/NAME/VERSION`; raises as `find`."""
        version = self._version(address)
        return f"models:/{version.name}/{version.version}"

    def _version(self, address: str) -> ModelVersion:
        match = ADDRESS.fullmatch(address)
        if match is None:
            raise UserError(f"{address}: must be models:/NAME@ALIAS or models:/NAME/VERSION")
        name, alias, number = match["name"], match["alias"], match["version"]
        missing = f"{address}: not in the registry of {without_password(self.uri)}"
        try:
            if alias is not None:
                version = self.client.get_model_version_by_alias(name, alias)
            elif number is not None:
                version = self.client.get_model_version(name, number)
            else:
                versions = self.client.search_model_versions(f"name = '{name}'")
                version = max(versions, key=lambda item: int(item.version), default=None)
        except MlflowException as error:
            raise UserError(f"{missing}: {reason(error)}") from error
        if version is None:
            raise UserError(missing)
        return version

    def download(self, address: str, folder: Path | None = None) -> Path:
        """Downloads a registered model, and returns its run folder.

        Args:
            address: The model's, as of `find`.
            folder: Where to; None for a temporary folder that is removed at exit.

        Raises:
            UserError: If there is no such model, or its files are missing.
        """
        _, source = self.find(address)
        folder = folder or temporary_folder("seq2seq-model-")
        with store_errors(self.uri):
            mlflow.artifacts.download_artifacts(
                artifact_uri=source, dst_path=str(folder), tracking_uri=self.uri
            )
        format_file = min(folder.rglob("format.json"), default=None)
        if format_file is None:
            raise UserError(f"{address}: holds no model of seq2seq")
        return format_file.parents[1]
