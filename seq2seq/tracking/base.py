"""What a training tells about itself, and the tracker that keeps nothing."""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

RUN_ID_FILE = "mlflow_run_id"
"""Where a run folder names its tracked run."""

RunStatus = Literal["FINISHED", "FAILED", "KILLED"]


class Tracker(ABC):
    """A place that keeps config, metrics and files of a run.

    A tracker is started once and finished once; what is logged goes in between. Only `start` may
    raise: a place that is lost while a model trains must not stop the training.
    """

    @abstractmethod
    def start(
        self,
        run_folder: Path,
        config: Mapping[str, Any],
        tags: Mapping[str, str],
        resume: bool = False,
    ) -> None:
        """Opens the run.

        Args:
            run_folder: Where the run's own files lie.
            config: The whole config as nested plain dicts, lists and scalars.
            tags: What else to find the run by.
            resume: Whether the training in `run_folder` goes on, so that its tracked run does too.

        Raises:
            UserError: The place cannot be reached or written to.
        """

    @abstractmethod
    def log_metrics(self, metrics: Mapping[str, float], step: int) -> None:
        """Logs values that belong to a training step. Cheap: it never waits for a disk or network.

        Args:
            metrics: Metric name to value. Values may be infinite or not a number.
            step: The number of training steps done so far.
        """

    @abstractmethod
    def log_dataset(self, name: str, source: str, digest: str, context: str) -> None:
        """Logs which data the run uses.

        Args:
            name: What the data set is called.
            source: Where it comes from: a folder, an address, a TFDS name.
            digest: A short hash of its content.
            context: What it is used for: `train`, `validation`, `test`.
        """

    @abstractmethod
    def log_folder(self, folder: Path, ignore: Sequence[str] = ()) -> None:
        """Keeps a copy of a folder's files, with their paths inside it.

        Args:
            folder: The folder.
            ignore: Patterns of relative paths that are left out, such as `checkpoints/*`. A star
                also stands for folders in between.
        """

    @abstractmethod
    def log_table(self, columns: Mapping[str, Sequence[Any]], artifact_file: str) -> None:
        """Keeps a table, such as sources, references and predictions side by side.

        Args:
            columns: Column name to the column's values, all of one length.
            artifact_file: Path inside the tracked run, ending in `.json`.
        """

    @abstractmethod
    def log_model(
        self,
        folder: Path,
        example: Any,
        row: Mapping[str, Any],
        metrics: Mapping[str, float],
        step: int,
    ) -> None:
        """Keeps the trained model as one that can be loaded, served and registered.

        Args:
            folder: The run's `model` folder.
            example: A source.
            row: Its prediction.
            metrics: The run's final metrics.
            step: The training step they belong to.
        """

    @abstractmethod
    def finish(self, status: RunStatus = "FINISHED") -> None:
        """Sends what is left and closes the run.

        Args:
            status: `FINISHED`, `FAILED` by an error, or `KILLED` by the user (Ctrl-C).
        """

    @abstractmethod
    def page_command(self) -> str:
        """The command that opens a page with the runs, or its address; empty if there is none."""


class NoTracker(Tracker):
    """Keeps nothing: the run folder is all there is."""

    def start(
        self,
        run_folder: Path,
        config: Mapping[str, Any],
        tags: Mapping[str, str],
        resume: bool = False,
    ) -> None:
        """Does nothing."""

    def log_metrics(self, metrics: Mapping[str, float], step: int) -> None:
        """Does nothing."""

    def log_dataset(self, name: str, source: str, digest: str, context: str) -> None:
        """Does nothing."""

    def log_folder(self, folder: Path, ignore: Sequence[str] = ()) -> None:
        """Does nothing."""

    def log_table(self, columns: Mapping[str, Sequence[Any]], artifact_file: str) -> None:
        """Does nothing."""

    def log_model(
        self,
        folder: Path,
        example: Any,
        row: Mapping[str, Any],
        metrics: Mapping[str, float],
        step: int,
    ) -> None:
        """Does nothing."""

    def finish(self, status: RunStatus = "FINISHED") -> None:
        """Does nothing."""

    def page_command(self) -> str:
        """There is no page: an empty text."""
        return ""
