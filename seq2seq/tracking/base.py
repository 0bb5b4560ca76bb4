"""The interface of experiment trackers, and the tracker that records nothing."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

RUN_ID_FILE = "mlflow_run_id"
"""The file of a run folder that holds the id of its tracked run."""

RunStatus = Literal["FINISHED", "FAILED", "KILLED"]


class Tracker:
    """Records config, metrics and files of a run; every method of the base class does nothing.

    A tracker is started once and finished once; everything is logged in between. Only `start` may
    raise: losing the tracking server must not stop a training.
    """

    def start(
        self,
        run_folder: Path,
        config: Mapping[str, Any],
        tags: Mapping[str, str],
        resume: bool = False,
    ) -> None:
        """Opens the run.

        Args:
            run_folder: The run folder.
            config: The whole config as nested plain dicts, lists and scalars.
            tags: Further properties to find the run by.
            resume: Whether to continue the tracked run of `run_folder`.

        Raises:
            UserError: If the tracking store cannot be reached or written to.
        """

    def log_metrics(self, metrics: Mapping[str, float], step: int) -> None:
        """Logs metrics of a training step, without waiting for a disk or network.

        Args:
            metrics: Metric name to value, which may be infinite or NaN.
            step: The number of training steps so far.
        """

    def log_dataset(self, name: str, source: str, digest: str, context: str) -> None:
        """Logs a data set that the run uses.

        Args:
            name: The name of the data set.
            source: Where it comes from: a folder, an address, a TFDS name.
            digest: A short hash of its content.
            context: Its use: `train`, `validation` or `test`.
        """

    def log_folder(self, folder: Path, ignore: Sequence[str] = ()) -> None:
        """Uploads the files of a folder under their relative paths.

        Args:
            folder: The folder.
            ignore: Patterns of relative paths to skip, such as `checkpoints/*`. A star also
                matches `/`.
        """

    def log_table(self, columns: Mapping[str, Sequence[Any]], artifact_file: str) -> None:
        """Logs a table, such as sources, references and predictions side by side.

        Args:
            columns: Column name to values, all of one length.
            artifact_file: Path in the tracked run, ending in `.json`.
        """

    def log_model(
        self,
        folder: Path,
        example: Any,
        row: Mapping[str, Any],
        metrics: Mapping[str, float],
        step: int,
    ) -> None:
        """Logs the trained model, so that it can be loaded, served and registered.

        Args:
            folder: The run's `model` folder.
            example: A source.
            row: Its prediction.
            metrics: The run's final metrics.
            step: Their training step.
        """

    def finish(self, status: RunStatus = "FINISHED") -> None:
        """Sends everything that is still queued and closes the run.

        Args:
            status: `FINISHED`, `FAILED` by an error, or `KILLED` by the user (Ctrl-C).
        """

    def page_command(self) -> str:
        """Returns the command that opens a page with the runs, or its address; empty if none."""
        return ""


class NoTracker(Tracker):
    """Records nothing outside the run folder."""
