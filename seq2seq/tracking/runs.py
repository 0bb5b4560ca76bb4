"""Runs that MLflow has: listing them, finding them, and getting at their files."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import mlflow.artifacts
from mlflow import MlflowClient
from mlflow.entities import Run
from mlflow.exceptions import MlflowException

from seq2seq.errors import UserError
from seq2seq.files import temporary_folder
from seq2seq.tracking.mlflow_store import (
    open_store,
    resolve_uri,
    sqlite_file,
    store_errors,
    without_password,
)

RUN_ID = re.compile(r"[0-9a-f]{32}")
FILTER = re.compile(r"(<|>|=|\bLIKE\b|\bIN\b)", re.IGNORECASE)
EVALUATED = ("test_", "validation_", "training_")


@dataclass(frozen=True)
class TrackedRun:
    """What a run is called, how it ended and what it scored.

    Attributes:
        run_id: MLflow's id.
        name: What it is called.
        experiment: The name of its experiment.
        status: `FINISHED`, `RUNNING`, `FAILED` or `KILLED`.
        started: When, in milliseconds since 1970.
        minutes: How long it took; None while it runs.
        tags: Its tags, without those that MLflow keeps for itself.
        parent: The run of the sweep it belongs to, if any.
        scores: Final metrics, such as `test_bleu`.
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
    """An MLflow store, to read.

    Args:
        tracking_uri: As `tracking.tracking_uri` of a config; if null, the same default.

    Raises:
        UserError: If there is no such store, or it does not answer.
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
            experiment: The name of an experiment; if null, those of all experiments.
            filter_string: MLflow's search syntax: `metrics.test_bleu > 30 and tags.task = 'x'`.
            limit: The most runs to return.

        Raises:
            UserError: If there is no such experiment, or the filter is wrong.
        """
        with store_errors(self.uri):
            names = {e.experiment_id: e.name for e in self.client.search_experiments()}
        if experiment is not None:
            names = {number: name for number, name in names.items() if name == experiment}
            if not names:
                raise UserError(f"the store has no experiment {experiment!r}")
        found: list[Run] = []
        token: str | None = None
        try:
            while len(found) < limit and names:
                page = self.client.search_runs(
                    list(names),
                    filter_string,
                    max_results=min(1000, limit - len(found)),
                    order_by=["attributes.start_time DESC"],
                    page_token=token,
                )
                found, token = [*found, *page], page.token
                if not token:
                    break
        except MlflowException as error:
            if error.error_code == "INVALID_PARAMETER_VALUE":
                message = str(error).splitlines()[0]
                raise UserError(f"--filter {filter_string}: {message}") from error
            with store_errors(self.uri):
                raise
        return [_tracked(run, names) for run in found]

    def find(self, wanted: str) -> list[str]:
        """The ids of finished runs that a word on the command line means.

        Args:
            wanted: A run id or its beginning (8 characters or more), an experiment's name, or a
                filter in MLflow's search syntax.

        Raises:
            UserError: If nothing fits.
        """
        if FILTER.search(wanted):
            runs = self.runs(filter_string=wanted)
        elif re.fullmatch(r"[0-9a-f]{8,32}", wanted):
            runs = [run for run in self.runs() if run.run_id.startswith(wanted)]
            if len(runs) == 1:
                return [runs[0].run_id]
        else:
            runs = self.runs(wanted)
        finished = [r.run_id for r in reversed(runs) if r.status == "FINISHED" and r.scores]
        if not finished:
            raise UserError(
                f"{wanted}: neither a run folder nor a run id, an experiment or a filter with "
                f"finished runs in {without_password(self.uri)}"
            )
        return finished

    def folder(self, run_id: str) -> Path:
        """A folder with the files of a run: its own, where it still is, or a downloaded copy.

        Raises:
            UserError: If the store does not have the run, or cannot give its files.
        """
        with store_errors(self.uri):
            run = self.client.get_run(run_id)
            own = Path(run.data.tags.get("run_folder", "/nowhere"))
            written = own / "mlflow_run_id"
            if written.is_file() and written.read_text("utf-8").strip() == run_id:
                return own
            copy = temporary_folder("seq2seq-run-")
            mlflow.artifacts.download_artifacts(
                run_id=run_id, dst_path=str(copy), tracking_uri=self.uri
            )
        return copy


def _tracked(run: Run, experiments: dict[str, str]) -> TrackedRun:
    tags: dict[str, Any] = run.data.tags
    ended = run.info.end_time
    return TrackedRun(
        run_id=str(run.info.run_id),
        name=str(run.info.run_name),
        experiment=experiments[run.info.experiment_id],
        status=str(run.info.status),
        started=int(run.info.start_time),
        minutes=(ended - run.info.start_time) / 60_000 if ended else None,
        tags={key: value for key, value in tags.items() if not key.startswith("mlflow.")},
        parent=tags.get("mlflow.parentRunId"),
        scores={n: v for n, v in sorted(run.data.metrics.items()) if n.startswith(EVALUATED)},
    )


def score_columns(runs: Sequence[TrackedRun], limit: int = 4) -> list[str]:
    """The test scores that most of some runs have, without the loss."""
    counts: dict[str, int] = {}
    for run in runs:
        for name in run.scores:
            if name.startswith("test_") and name not in ("test_loss", "test_perplexity"):
                counts[name] = counts.get(name, 0) + 1
    return sorted(counts, key=lambda name: -counts[name])[:limit]
