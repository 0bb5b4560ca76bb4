"""Runs in MLflow."""

import json
import logging
import math
import shlex
import shutil
import sys
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

from mlflow.entities import Dataset, DatasetInput, InputTag, Metric, Param, Run, RunTag
from mlflow.exceptions import MlflowException
from mlflow.system_metrics.system_metrics_monitor import SystemMetricsMonitor

from seq2seq import __version__
from seq2seq.errors import UserError
from seq2seq.files import write_text
from seq2seq.tracking.background import BackgroundSender
from seq2seq.tracking.base import RUN_ID_FILE, RunStatus, Tracker
from seq2seq.tracking.environment import (
    describe_environment,
    git_state,
    own_git_state,
    user_name,
)
from seq2seq.tracking.mlflow_store import (
    open_store,
    reason,
    resolve_uri,
    sqlite_file,
    store_errors,
    without_password,
)
from seq2seq.tracking.parameters import MAX_TAG_LENGTH, flatten, shorten, valid_name, variant_of

MAX_PER_BATCH = 100
# What a store answers to metrics that it will never take, however often they are sent.
REFUSALS = ("BAD_REQUEST", "INVALID_PARAMETER_VALUE")
SECONDS_TO_FINISH = 45.0
SECONDS_TO_STOP_MONITOR = 5.0

VERSIONS = ("tensorflow", "keras", "numpy", "mlflow")

logger = logging.getLogger(__name__)


class MlflowTracker(Tracker):
    """Keeps a run in MLflow: a SQLite file by default, or any tracking server or database.

    The run is always addressed by its id; MLflow's global state (the active run, `MLFLOW_RUN_ID`,
    `MLFLOW_EXPERIMENT_NAME`) plays no part. The id is written to `mlflow_run_id` in the run folder.
    Metrics are sent by a thread of their own. If the store is lost while a model trains, one
    warning says so, the metrics wait until it is back, and the training goes on.

    Example:
        >>> tracker = MlflowTracker(experiment="dates")
        >>> tracker.start(Path("runs/1"), config={"seed": 1}, tags={"recipe": "cldr_dates"})
        >>> tracker.log_metrics({"loss": 0.7}, step=100)
        >>> tracker.finish("FINISHED")

    Args:
        tracking_uri: Where MLflow keeps its runs; if null, what the variable `MLFLOW_TRACKING_URI`
            says, or else `mlflow.db` in the folder that the command is run from. A password
            belongs in the variables `MLFLOW_TRACKING_USERNAME` and `MLFLOW_TRACKING_PASSWORD`.
        experiment: The MLflow experiment that the run belongs to. It is created if need be.
        run_name: What the run is called; if null, as its folder.
        artifact_location: Where a new experiment keeps its files; if null, `mlartifacts` beside a
            SQLite store, and what the server decides for all others.
        tags: Further tags of the run.
        models: Whether the trained model is logged as an MLflow model, to load, serve or register.
        system_metrics: Whether CPU, memory, disk and GPU are logged every ten seconds.
    """

    def __init__(
        self,
        tracking_uri: str | None = None,
        experiment: str = "seq2seq",
        run_name: str | None = None,
        artifact_location: str | None = None,
        tags: Mapping[str, str] | None = None,
        models: bool = True,
        system_metrics: bool = True,
    ) -> None:
        self._uri = resolve_uri(tracking_uri)
        self._experiment = experiment
        self._run_name = run_name
        self._artifact_location = artifact_location
        self._tags = dict(tags or {})
        self._models = models
        self._system_metrics = system_metrics
        self._warned = False

    def start(
        self,
        run_folder: Path,
        config: Mapping[str, Any],
        tags: Mapping[str, str],
        resume: bool = False,
    ) -> None:
        """Opens the run and logs config, tags and environment.

        Args:
            run_folder: Where the run's own files lie; gets the file `mlflow_run_id`.
            config: The whole config. Logged as `config.yaml` and, flattened, as parameters.
            tags: What else to find the run by.
            resume: Whether to go on with the run that `mlflow_run_id` names. Where it names none
                that this store has, a new run is opened.

        Raises:
            UserError: The store cannot be reached, read or written within a few seconds.
        """
        self._client = open_store(self._uri)
        with store_errors(self._uri):
            run = self._run_to_resume(run_folder) if resume else None
            if run is None:
                run = self._client.create_run(
                    self._experiment_id(), run_name=self._run_name or run_folder.resolve().name
                )
                # At once: a process that is killed here leaves no run that nobody finds again.
                write_text(run_folder / RUN_ID_FILE, f"{run.info.run_id}\n")
            else:
                self._client.update_run(run.info.run_id, status="RUNNING")
            self._run = run
            environment = describe_environment()
            self._log_config(config, already=run.data.params)
            standard = {**standard_tags(run_folder, environment), "variant": variant_of(config)}
            self._log_tags({**standard, **self._tags, **tags})
            self._client.log_dict(self.run_id, environment, "environment.json")
        self._sender = BackgroundSender(self._send_metrics, on_failure=self._warn)
        self._monitor = SystemMetricsMonitor(
            self.run_id, resume_logging=resume, tracking_uri=self._uri
        )
        if self._system_metrics:
            self._monitor.start()

    @property
    def run_id(self) -> str:
        """MLflow's id of the run that was started."""
        return str(self._run.info.run_id)

    def log_metrics(self, metrics: Mapping[str, float], step: int) -> None:
        """Queues values for the thread that sends them.

        Args:
            metrics: Metric name to value. An infinite value is logged as not a number, because
                MLflow would put 1.8e308 in its place and flatten the chart.
            step: The number of training steps done so far.
        """
        now = int(time.time() * 1000)
        self._sender.put(
            Metric(valid_name(name), value if math.isfinite(value) else math.nan, now, step)
            for name, value in metrics.items()
        )

    def log_dataset(self, name: str, source: str, digest: str, context: str) -> None:
        """Logs a data set as an input of the run.

        Args:
            name: What the data set is called.
            source: Where it comes from: a folder, an address, a TFDS name.
            digest: A short hash of its content; MLflow keeps 36 characters.
            context: What it is used for: `train`, `validation`, `test`.
        """
        dataset = Dataset(
            name, digest[:36], source_type="local", source=json.dumps({"uri": source})
        )
        tags = [InputTag("mlflow.data.context", context)]
        with self._never_fatal():
            self._client.log_inputs(self.run_id, datasets=[DatasetInput(dataset, tags)])

    def log_folder(self, folder: Path, ignore: Sequence[str] = ()) -> None:
        """Copies a folder's files to the run's artifacts, with their paths inside it.

        Args:
            folder: The folder.
            ignore: Patterns of relative paths that are left out, such as `checkpoints/*`. A star
                also stands for folders in between.
        """
        with self._never_fatal():
            for path in sorted(folder.rglob("*")):
                relative = path.relative_to(folder)
                if path.is_file() and not any(
                    fnmatch(relative.as_posix(), each) for each in ignore
                ):
                    parent = relative.parent.as_posix()
                    parent_or_root = None if parent == "." else parent
                    self._client.log_artifact(self.run_id, str(path), parent_or_root)

    def log_table(self, columns: Mapping[str, Sequence[Any]], artifact_file: str) -> None:
        """Logs a table that MLflow's page shows. Rows are added if the table is there already.

        Args:
            columns: Column name to the column's values, all of one length.
            artifact_file: Path among the artifacts, ending in `.json`.
        """
        with self._never_fatal():
            table = {name: list(values) for name, values in columns.items()}
            self._client.log_table(self.run_id, table, artifact_file)

    def log_model(
        self,
        folder: Path,
        example: Any,
        row: Mapping[str, Any],
        metrics: Mapping[str, float],
        step: int,
    ) -> None:
        """Logs the trained model as a pyfunc whose code is seq2seq's: nothing is pickled.

        Args:
            folder: The run's `model` folder.
            example: A source, for the signature and as an example of the input.
            row: Its prediction.
            metrics: The run's final metrics.
            step: The training step they belong to.
        """
        if self._models:
            with self._never_fatal():
                from seq2seq.tracking.logged_models import log_model  # takes seconds to import

                log_model(self._client, self.run_id, folder, example, row, metrics, step)

    def finish(self, status: RunStatus = "FINISHED") -> None:
        """Sends what is left and closes the run.

        Args:
            status: `FINISHED`, `FAILED` by an error, or `KILLED` by the user (Ctrl-C).
        """
        if self._system_metrics:
            # It may be waiting for a server that hangs: then it is left behind.
            stop = threading.Thread(target=self._monitor.finish, daemon=True)
            stop.start()
            stop.join(SECONDS_TO_STOP_MONITOR)
        unsent = self._sender.close(SECONDS_TO_FINISH)
        if unsent:
            logger.warning(
                "MLflow did not get the last %d metric values: %s did not answer.",
                unsent,
                without_password(self._uri),
            )
        with self._never_fatal():
            self._client.set_terminated(self.run_id, status)

    def page_command(self) -> str:
        """The command that opens MLflow's page; for a tracking server, the address of the run."""
        if self._uri.startswith(("http://", "https://")):
            experiment_id = self._run.info.experiment_id
            return f"{self._uri.rstrip('/')}/#/experiments/{experiment_id}/runs/{self.run_id}"
        beside_python = Path(sys.executable).with_name("mlflow")
        found = shutil.which("mlflow")
        program = ["mlflow"] if found == str(beside_python) else [sys.executable, "-m", "mlflow"]
        return shlex.join([*program, "ui", "--backend-store-uri", without_password(self._uri)])

    def _run_to_resume(self, run_folder: Path) -> Run | None:
        """The run that the run folder's file names, or None if this store has no such run."""
        path = run_folder / RUN_ID_FILE
        if not path.exists():
            return None
        run_id = path.read_text(encoding="utf-8").strip()
        try:
            run = self._client.get_run(run_id)
        except MlflowException as error:
            if error.error_code not in ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE"):
                raise
            run = None
        if run is None or run.info.lifecycle_stage != "active":
            logger.warning(
                "%s has no run %s to go on with: a new one is opened.", self._uri, run_id
            )
            return None
        return run

    def _experiment_id(self) -> str:
        experiment = self._client.get_experiment_by_name(self._experiment)
        if experiment is None:
            return self._create_experiment()
        if experiment.lifecycle_stage != "active":
            raise UserError(
                f"tracking.experiment: the MLflow experiment {self._experiment!r} is deleted. "
                "Choose another name, or bring it back with: mlflow experiments restore "
                f"--experiment-id {experiment.experiment_id}"
            )
        return str(experiment.experiment_id)

    def _create_experiment(self) -> str:
        location = self._artifact_location
        database = sqlite_file(self._uri)
        if location is None and database is not None:
            location = str(database.with_name("mlartifacts"))
        try:
            return str(self._client.create_experiment(self._experiment, location))
        except MlflowException as error:
            # Another process was faster.
            if error.error_code != "RESOURCE_ALREADY_EXISTS":
                raise
        return str(self._client.get_experiment_by_name(self._experiment).experiment_id)

    def _log_config(self, config: Mapping[str, Any], already: Mapping[str, str]) -> None:
        """Logs the config; what a resumed run has changed goes to tags, as MLflow keeps params."""
        values = flatten(config)
        new = [Param(name, value) for name, value in values.items() if name not in already]
        for first in range(0, len(new), MAX_PER_BATCH):
            self._client.log_batch(self.run_id, params=new[first : first + MAX_PER_BATCH])
        self._log_tags(
            {
                f"resumed_with.{name}": value
                for name, value in values.items()
                if already.get(name, value) != value
            }
        )
        self._client.log_dict(self.run_id, dict(config), "config.yaml")

    def _log_tags(self, tags: Mapping[str, str]) -> None:
        all_tags = [
            RunTag(valid_name(name), shorten(str(value), MAX_TAG_LENGTH))
            for name, value in tags.items()
        ]
        for first in range(0, len(all_tags), MAX_PER_BATCH):
            self._client.log_batch(self.run_id, tags=all_tags[first : first + MAX_PER_BATCH])

    def _send_metrics(self, batch: list[Metric]) -> None:
        try:
            self._client.log_batch(self.run_id, metrics=batch)
        except MlflowException as error:
            if error.error_code not in REFUSALS:
                raise
            self._warn(error)

    @contextmanager
    def _never_fatal(self) -> Iterator[None]:
        """Lets the training go on whatever happens to the store."""
        try:
            yield
        except Exception as error:
            self._warn(error)

    def _warn(self, error: Exception) -> None:
        """Says once that the store fails; what follows from it is not worth another line."""
        level = logging.DEBUG if self._warned else logging.WARNING
        self._warned = True
        logger.log(
            level,
            "MLflow at %s fails, the training goes on: %s Metrics are sent when it is back; all "
            "results are in the run folder.",
            without_password(self._uri),
            reason(error),
        )


def standard_tags(run_folder: Path, environment: Mapping[str, Any]) -> dict[str, str]:
    """The tags of every run: who, where, from which code, with which versions.

    `mlflow.source.git` is the repository that the run was started in; `seq2seq.git` that of
    seq2seq's own code.

    Args:
        run_folder: Where the run's own files lie.
        environment: What `describe_environment` returned.

    Returns:
        Tag name to value. Names that begin with `mlflow.` have columns of their own on the page.
    """
    versions = {name: environment["packages"].get(name) for name in VERSIONS}
    return {
        "mlflow.user": user_name(),
        "mlflow.source.name": environment["command"],
        "mlflow.source.type": "LOCAL",
        **{f"mlflow.source.git.{name}": value for name, value in git_state(Path.cwd()).items()},
        **{f"seq2seq.git.{name}": value for name, value in own_git_state().items()},
        "run_folder": str(run_folder.resolve()),
        "host": environment["machine"]["host"],
        "version.seq2seq": __version__,
        **{f"version.{name}": version for name, version in versions.items() if version},
    }
