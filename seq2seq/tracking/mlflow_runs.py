"""Lists and finds the runs of an MLflow store, and downloads their files."""

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import mlflow.artifacts
from mlflow import MlflowClient
from mlflow.entities import Run
from mlflow.exceptions import MlflowException

from seq2seq.errors import UserError
from seq2seq.files import temporary_folder
from seq2seq.tracking.base import RUN_ID_FILE
from seq2seq.tracking.mlflow_store import (
    open_store,
    reason,
    resolve_uri,
    sqlite_file,
    store_errors,
    without_password,
)

FILTER = re.compile(r"(<|>|=|\bLIKE\b|\bIN\b)", re.IGNORECASE)
SCORE_PREFIXES = ("test_", "validation_", "training_")


@dataclass(frozen=True)
class TrackedRun:
    """Name, status and scores of a run.

    Attributes:
        status: `FINISHED`, `RUNNING`, `FAILED` or `KILLED`.
        started: The start time in milliseconds since 1970.
        minutes: The duration; None while it is running.
        tags: The tags, without MLflow's own.
        parent: The id of the sweep's run it belongs to, if any.
        scores: The final metrics, such as `test_bleu`.
    """

    run_id: str
    name: str
    experiment: str
    status: str
    started: int
    minutes: float | None
    tags: dict[str, str]
    parent: str | None
    scores: dict[str, float]


class RunStore:
    """Reads the runs of an MLflow store.

    Args:
        tracking_uri: As `tracking.tracking_uri` of a config; if null, the same default.

    Raises:
        UserError: If the store does not exist or does not answer.
    """

    def __init__(self, tracking_uri: str | None = None) -> None:
        self.uri = resolve_uri(tracking_uri)
        database = sqlite_file(self.uri)
        if database is not None and not database.is_file():
            raise UserError(
                f"there is no MLflow store {database}: run this where the runs were started, or "
                "name the store by --tracking-uri or the variable MLFLOW_TRACKING_URI"
            )
        self.client: MlflowClient = open_store(self.uri)

    def runs(
        self, experiment: str | None = None, filter_string: str = "", limit: int = 1000
    ) -> list[TrackedRun]:
        """Lists runs, the newest first.

        Args:
            experiment: The name of an experiment; if null, the runs of all experiments.
            filter_string: MLflow's search syntax: `metrics.test_bleu > 30 and tags.task = 'x'`.
            limit: The maximum number of runs.

        Raises:
            UserError: If the experiment does not exist, or the filter is invalid.
        """
        with store_errors(self.uri):
            names = {
                item.experiment_id: item.name
                for item in self.client.search_experiments()
                if experiment in (None, item.name)
            }
        if experiment is not None and not names:
            raise UserError(f"the store has no experiment {experiment!r}")
        runs: list[Run] = []
        token: str | None = None
        try:
            while names and len(runs) < limit:
                page = self.client.search_runs(
                    list(names),
                    filter_string,
                    max_results=min(1000, limit - len(runs)),
                    order_by=["attributes.start_time DESC"],
                    page_token=token,
                )
                runs, token = [*runs, *page], page.token
                if not token:
                    break
        except MlflowException as error:
            if error.error_code == "INVALID_PARAMETER_VALUE":
                raise UserError(f"--filter {filter_string}: {reason(error)}") from error
            with store_errors(self.uri):
                raise
        return [_tracked_run(run, names[run.info.experiment_id]) for run in runs]

    def find(self, query: str) -> list[str]:
        """Returns the ids of the finished runs that match an argument of the command line.

        The query is a run id or its beginning (8 characters or more), the name of an experiment,
        or a filter in MLflow's search syntax.

        Raises:
            UserError: If nothing matches.
        """
        if FILTER.search(query):
            runs = self.runs(filter_string=query)
        elif re.fullmatch(r"[0-9a-f]{8,32}", query):
            runs = [run for run in self.runs() if run.run_id.startswith(query)]
            if len(runs) == 1:
                return [runs[0].run_id]
        else:
            runs = self.runs(query)
        finished = [r.run_id for r in reversed(runs) if r.status == "FINISHED" and r.scores]
        if not finished:
            raise UserError(
                f"{query}: neither a run folder nor a run id, an experiment or a filter with "
                f"finished runs in {without_password(self.uri)}"
            )
        return finished

    def folder(self, run_id: str) -> Path:
        """Returns the folder of a run: its run folder if it still exists, or a downloaded copy.

        Raises:
            UserError: If the store does not have the run or its files.
        """
        with store_errors(self.uri):
            run = self.client.get_run(run_id)
            run_folder = Path(run.data.tags.get("run_folder", "/nowhere"))
            id_file = run_folder / RUN_ID_FILE
            if id_file.is_file() and id_file.read_text("utf-8").strip() == run_id:
                return run_folder
            copy = temporary_folder("seq2seq-run-")
            mlflow.artifacts.download_artifacts(
                run_id=run_id, dst_path=str(copy), tracking_uri=self.uri
            )
        return copy


def _tracked_run(run: Run, experiment: str) -> TrackedRun:
    tags: dict[str, str] = run.data.tags
    ended = run.info.end_time
    return TrackedRun(
        run_id=str(run.info.run_id),
        name=str(run.info.run_name),
        experiment=experiment,
        status=str(run.info.status),
        started=int(run.info.start_time),
        minutes=(ended - run.info.start_time) / 60_000 if ended else None,
        tags={key: value for key, value in tags.items() if not key.startswith("mlflow.")},
        parent=tags.get("mlflow.parentRunId"),
        scores={n: v for n, v in sorted(run.data.metrics.items()) if n.startswith(SCORE_PREFIXES)},
    )


def score_columns(runs: Sequence[TrackedRun], limit: int = 4) -> list[str]:
    """Returns the most frequent test scores of runs, without the loss."""
    counts = Counter(
        name
        for run in runs
        for name in run.scores
        if name.startswith("test_") and name not in ("test_loss", "test_perplexity")
    )
    return [name for name, _ in counts.most_common(limit)]
