"""The interface of experiment trackers, and the tracker that records nothing."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from seq2seq.run_folder import LOCK
from seq2seq.scores import main_score
from seq2seq.tracking.model_card import ModelCard, SplitSummary

RUN_ID_FILE = "mlflow_run_id"
"""The file of a run folder that holds the id of its tracked run."""

NOT_UPLOADED = ("checkpoints/*", LOCK)
"""The files of a run folder that stay there."""

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
        """Logs metrics, which may be infinite or NaN, after a number of training steps.

        Never waits for a disk or network.
        """

    def log_dataset(self, split: SplitSummary) -> None:
        """Logs a split of the data that the run uses."""

    def log_folder(self, folder: Path, ignore: Sequence[str] = ()) -> None:
        """Uploads the files of a folder under their relative paths.

        Paths that match a pattern of `ignore`, such as `checkpoints/*`, are skipped. A star also
        matches `/`.
        """

    def log_table(self, columns: Mapping[str, Sequence[Any]], artifact_file: str) -> None:
        """Logs a table of columns of one length as `artifact_file`, which ends in `.json`."""

    def log_card(self, card: ModelCard) -> None:
        """Logs the model card of a run that ends, and adds the main score to the run's name."""

    def log_model(self, folder: Path, example: Any, row: Mapping[str, Any], step: int) -> None:
        """Logs the run's `model` folder, so that it can be loaded, served and registered.

        `row` is a prediction with its source, as an example. The model replaces the one that the
        run has logged before it was resumed, unless that is registered.
        """

    def log_scores(self, scores: Mapping[str, float], step: int) -> None:
        """Logs the final scores, of the logged model if there is one.

        The names of scores of `validation` and `test` begin with the split: `test_bleu`.
        """

    def finish(self, status: RunStatus = "FINISHED") -> None:
        """Sends everything that is still queued and closes the run; `KILLED` means by Ctrl-C."""

    def pages(self) -> dict[str, str]:
        """Returns where the run can be looked at: label to command or address; empty if nowhere."""
        return {}


class NoTracker(Tracker):
    """Records nothing outside the run folder."""


def final_scores(results: Mapping[str, Mapping[str, float]]) -> dict[str, float]:
    """Returns the content of `metrics.json` as metrics: `test_bleu`, and the main score."""
    scores = {
        f"{part}_{name}": value
        for part in ("validation", "test", "training")
        for name, value in results[part].items()
    }
    if main := main_score(results["test"]):
        scores["main_score"] = results["test"][main]
    return scores
