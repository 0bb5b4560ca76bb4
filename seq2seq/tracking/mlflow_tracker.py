"""Records runs in MLflow."""

import json
import logging
import math
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

from seq2seq.errors import UserError
from seq2seq.files import write_text
from seq2seq.naming import run_name
from seq2seq.run_folder import checkpoint_paths
from seq2seq.tracking.background import BackgroundSender
from seq2seq.tracking.base import NOT_UPLOADED, RUN_ID_FILE, RunStatus, Tracker, final_scores
from seq2seq.tracking.environment import ENVIRONMENT, describe_environment, environment_tags
from seq2seq.tracking.logged_metrics import METRICS_FILE, LoggedMetrics, Point
from seq2seq.tracking.mlflow_experiment import experiment_id, pages
from seq2seq.tracking.mlflow_store import (
    open_store,
    reason,
    resolve_uri,
    store_errors,
    without_password,
)
from seq2seq.tracking.model_card import ModelCard, SplitSummary
from seq2seq.tracking.parameters import MAX_TAG_LENGTH, flatten, shorten, valid_name, variant_of

# The errors of metrics that a store will never accept, however often they are sent.
PERMANENT_ERRORS = ("BAD_REQUEST", "INVALID_PARAMETER_VALUE")
SECONDS_TO_FINISH = 45.0
SECONDS_TO_STOP_MONITOR = 5.0

NOTE = "mlflow.note.content"
"""The tag that MLflow's page shows as the description."""
PAUSED = "paused_milliseconds"
"""The tag with the time between the sessions of a run."""

logger = logging.getLogger(__name__)


class MlflowTracker(Tracker):
    """Records a run in MLflow: a SQLite file by default, or any tracking server or database.

    The run is always addressed by its id, which is written to `mlflow_run_id` in the run folder;
    MLflow's global state (the active run, `MLFLOW_RUN_ID`, `MLFLOW_EXPERIMENT_NAME`) is ignored.
    A background thread sends the metrics. If the store is lost during training, one warning is
    logged, the metrics stay queued until it is back, and the training continues.

    Example:
        >>> tracker = MlflowTracker(experiment="dates")
        >>> tracker.start(Path("runs/1"), config={"seed": 1}, tags={"recipe": "cldr_dates"})
        >>> tracker.log_metrics({"loss": 0.7}, step=100)
        >>> tracker.finish("FINISHED")

    Args:
        tracking_uri: The address of the MLflow store; if null, that of the variable
            `MLFLOW_TRACKING_URI`, or else `mlflow.db` in the current folder. Passwords belong in
            the variables `MLFLOW_TRACKING_USERNAME` and `MLFLOW_TRACKING_PASSWORD`.
        experiment: The MLflow experiment of the run; created if it does not exist.
        run_name: The name of the run; if null, it is made from recipe, model and main score, as
            `cldr_dates lstm-128 exact_match 0.995`.
        artifact_location: Where a new experiment stores its files; if null, `mlartifacts` beside a
            SQLite store, and the server's default for all others.
        tags: Further tags of the run.
        models: Whether to log the trained model as an MLflow model, to load, serve or register.
        system_metrics: Whether to log CPU, memory, disk and GPU every ten seconds.
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
        self._model_id: str | None = None
        self._datasets: dict[str, Dataset] = {}

    def start(
        self,
        run_folder: Path,
        config: Mapping[str, Any],
        tags: Mapping[str, str],
        resume: bool = False,
    ) -> None:
        """Opens the run and logs config, tags and environment.

        The config is logged as `config.yaml` and, flattened, as parameters. With `resume`, the run
        in `mlflow_run_id` is continued, or a new one is opened if this store does not have it.
        """
        self._client = open_store(self._uri)
        self._generated_name = "" if self._run_name else run_name(tags, config)
        self._paused = 0
        with store_errors(self._uri):
            run = self._run_to_resume(run_folder) if resume else None
            if run is None:
                name = self._run_name or self._generated_name or run_folder.resolve().name
                experiment = experiment_id(
                    self._client, self._experiment, self._uri, self._artifact_location
                )
                run = self._client.create_run(experiment, run_name=name)
                # At once, so that a process that is killed here leaves a run that can be found.
                write_text(run_folder / RUN_ID_FILE, f"{run.info.run_id}\n")
            else:
                self._client.update_run(run.info.run_id, status="RUNNING")
                self._paused = milliseconds_paused(run, run_folder)
                tags = {**tags, PAUSED: str(self._paused)}
            self._run = run
            environment = describe_environment()
            self._log_config(config, logged=run.data.params)
            standard = {**environment_tags(run_folder, environment), "variant": variant_of(config)}
            self._log_tags({**standard, **self._tags, **tags})
            self._client.log_dict(self.run_id, environment, ENVIRONMENT)
        self._sender = BackgroundSender(self._send_metrics, on_failure=self._warn)
        self._logged = LoggedMetrics(run_folder / METRICS_FILE, resume=resume)
        if resume:
            with self._never_fatal():
                self._sender.put(map(as_metric, self._unsent()))
        self._monitor = SystemMetricsMonitor(
            self.run_id, resume_logging=resume, tracking_uri=self._uri
        )
        if self._system_metrics:
            self._monitor.start()

    @property
    def run_id(self) -> str:
        """The id of the run in MLflow."""
        return str(self._run.info.run_id)

    def log_metrics(self, metrics: Mapping[str, float], step: int) -> None:
        """Queues metrics for the background thread."""
        self._sender.put(map(as_metric, self._logged.add(metrics, step, milliseconds())))

    def _unsent(self) -> list[Point]:
        """Returns the logged metrics that the tracked run does not have."""
        names = {point.name for point in self._logged.points}
        sent = {
            (name, metric.step)
            for name in names
            for metric in self._client.get_metric_history(self.run_id, valid_name(name))
        }
        return [point for point in self._logged.points if (point.name, point.step) not in sent]

    def log_dataset(self, split: SplitSummary) -> None:
        """Logs a split as an input of the run; MLflow keeps 36 characters of the digest."""
        dataset = Dataset(
            f"{split.name}/{split.split}",
            split.digest[:36],
            source_type="local",
            source=json.dumps({"uri": split.source}),
            profile=json.dumps({"num_rows": split.records}),
        )
        self._datasets[split.split] = dataset
        tags = [InputTag("mlflow.data.context", split.split)]
        with self._never_fatal():
            self._client.log_inputs(self.run_id, datasets=[DatasetInput(dataset, tags)])

    def log_folder(self, folder: Path, ignore: Sequence[str] = ()) -> None:
        """Uploads the files of a folder to the run's artifacts."""
        with self._never_fatal():
            for path in sorted(folder.rglob("*")):
                name = path.relative_to(folder).as_posix()
                ignored = [METRICS_FILE, *ignore]  # MLflow has the metrics themselves
                if path.is_file() and not any(fnmatch(name, pattern) for pattern in ignored):
                    parent = name.rpartition("/")[0] or None
                    self._client.log_artifact(self.run_id, str(path), parent)

    def log_table(self, columns: Mapping[str, Sequence[Any]], artifact_file: str) -> None:
        """Logs a table that MLflow's page shows, or appends rows to an existing one."""
        with self._never_fatal():
            table = {name: list(values) for name, values in columns.items()}
            self._client.log_table(self.run_id, table, artifact_file)

    def log_card(self, card: ModelCard) -> None:
        """Sets the run's description, and adds the main score to its name if that was generated.

        Names and descriptions that were edited on MLflow's page stay as they are.
        """
        with self._never_fatal():
            run = self._client.get_run(self.run_id)
            generated = self._generated_name
            if generated and f"{run.info.run_name} ".startswith(f"{generated} "):
                name = f"{generated} {card.main_score}".strip()
                self._client.update_run(self.run_id, name=name)
            if run.data.tags.get(NOTE, card.title).startswith(card.title):
                self._log_tags({NOTE: str(card)})

    def log_model(self, folder: Path, example: Any, row: Mapping[str, Any], step: int) -> None:
        """Logs the trained model as a pyfunc that runs seq2seq's code: nothing is pickled."""
        if self._models:
            with self._never_fatal():
                from seq2seq.tracking.logged_models import log_model  # takes seconds to import

                self._model_id = log_model(self._client, self.run_id, folder, example, row, step)

    def log_scores(self, scores: Mapping[str, float], step: int) -> None:
        """Queues the final scores, linked to the logged model and to their split of the data."""
        now = milliseconds()
        for name, value in scores.items():
            dataset = self._datasets.get(name.partition("_")[0])
            metric = Metric(
                valid_name(name),
                value if math.isfinite(value) else math.nan,
                now,
                step,
                model_id=self._model_id,
                dataset_name=dataset and dataset.name,
                dataset_digest=dataset and dataset.digest,
            )
            self._sender.put([metric])

    def finish(self, status: RunStatus = "FINISHED") -> None:
        """Sends the queued metrics and closes the run, within a bounded time."""
        if self._system_metrics:
            # The monitor may be waiting for a server that hangs: do not wait for it forever.
            stop = threading.Thread(target=self._monitor.finish, daemon=True)
            stop.start()
            stop.join(SECONDS_TO_STOP_MONITOR)
        unsent = self._sender.close(SECONDS_TO_FINISH)
        if unsent:
            self._warned = True
            logger.warning(
                "MLflow did not get the last %d metric values: %s did not answer.",
                unsent,
                without_password(self._uri),
            )
        with self._never_fatal():
            # The run's duration is from start to end, so the end is moved by the pauses.
            end = milliseconds() - self._paused
            self._client.set_terminated(self.run_id, status, end)

    def sync(
        self,
        run_folder: Path,
        config: Mapping[str, Any],
        tags: Mapping[str, str],
        results: Mapping[str, Mapping[str, float]] | None,
    ) -> None:
        """Sends what the tracked run lacks of an ended run: metrics, scores, files and the status.

        Args:
            run_folder: The run folder.
            config: As of `start`.
            tags: As of `start`.
            results: The content of `metrics.json`; None if the run has not finished.

        Raises:
            UserError: If the store cannot be reached, or did not take all.
        """
        self._system_metrics = False
        self.start(run_folder, config, tags, resume=True)
        if results is not None:
            logged = self._run.data.metrics
            scores = final_scores(results)
            missing = {name: value for name, value in scores.items() if name not in logged}
            self.log_scores(missing, int(results["training"]["steps"]))
        self.log_folder(run_folder, ignore=NOT_UPLOADED)
        self.finish("KILLED" if results is None else "FINISHED")
        if self._warned:
            raise UserError(f"{run_folder}: MLflow did not get all of it; sync it again.")

    def pages(self) -> dict[str, str]:
        """Returns the run's and the list's address, after the command that starts the server."""
        return pages(self._uri, self._run.info.experiment_id, self.run_id)

    def _run_to_resume(self, run_folder: Path) -> Run | None:
        """Returns the tracked run of the run folder, or None if this store does not have it."""
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
            logger.warning("%s has no run %s to resume: a new one is opened.", self._uri, run_id)
            return None
        return run

    def _log_config(self, config: Mapping[str, Any], logged: Mapping[str, str]) -> None:
        """Logs the config; changes of a resumed run become tags, because params are immutable."""
        values = flatten(config)
        new = [Param(name, value) for name, value in values.items() if name not in logged]
        changed = {
            name: value for name, value in values.items() if logged.get(name, value) != value
        }
        self._client.log_batch(self.run_id, params=new)
        self._log_tags({f"resumed_with.{name}": value for name, value in changed.items()})
        self._client.log_dict(self.run_id, dict(config), "config.yaml")

    def _log_tags(self, tags: Mapping[str, str]) -> None:
        texts = {valid_name(k): shorten(str(v), MAX_TAG_LENGTH) for k, v in tags.items()}
        self._client.log_batch(self.run_id, tags=[RunTag(*item) for item in texts.items()])

    def _send_metrics(self, batch: list[Metric]) -> None:
        try:
            self._client.log_batch(self.run_id, metrics=batch)
        except MlflowException as error:
            if error.error_code not in PERMANENT_ERRORS:
                raise
            self._warn(error)

    @contextmanager
    def _never_fatal(self) -> Iterator[None]:
        """Turns errors of the store into a warning: the training must go on."""
        try:
            yield
        except Exception as error:
            self._warn(error)

    def _warn(self, error: Exception) -> None:
        """Warns once that the store fails; later errors are logged at debug level."""
        level = logging.DEBUG if self._warned else logging.WARNING
        self._warned = True
        logger.log(
            level,
            "MLflow at %s fails, the training goes on: %s Metrics are sent when it is back; all "
            "results are in the run folder.",
            without_password(self._uri),
            reason(error),
        )


def as_metric(point: Point) -> Metric:
    """Returns a metric as MLflow has it, which would replace infinity by 1.8e308."""
    value = point.value if math.isfinite(point.value) else math.nan
    return Metric(valid_name(point.name), value, point.milliseconds, point.step)


def milliseconds() -> int:
    """Returns the time as MLflow counts it, since 1970."""
    return int(time.time() * 1000)


def milliseconds_paused(run: Run, run_folder: Path) -> int:
    """Returns the total time between the sessions of a run that is resumed now."""
    paused = int(run.data.tags.get(PAUSED, 0))
    checkpoints = checkpoint_paths(run_folder / "checkpoints", "last")
    now = milliseconds()
    if run.info.status != "RUNNING":
        stopped = int(run.info.end_time) + paused
    elif checkpoints:  # it was killed, and goes on from here
        stopped = int(checkpoints[0].stat().st_mtime * 1000)
    else:
        stopped = now
    return paused + max(0, now - stopped)
