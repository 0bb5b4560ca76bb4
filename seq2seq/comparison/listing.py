"""Lists run folders as MLflow lists its runs."""

from collections.abc import Iterable
from pathlib import Path

from seq2seq.comparison.runs import FinishedRun, read_run, run_folders
from seq2seq.errors import UserError
from seq2seq.tracking.parameters import valid_name
from seq2seq.tracking.runs import TrackedRun

SPLITS = ("validation", "test", "training")


def runs_in_folders(folders: Iterable[Path]) -> list[TrackedRun]:
    """Returns the finished runs in folders, the newest first, or raises UserError without one."""
    runs: list[TrackedRun] = []
    for folder in folders:
        if not folder.is_dir():
            raise UserError(f"{folder}: is not a folder")
        runs += [_as_tracked(read_run(run_folder)) for run_folder in run_folders(folder)]
    return sorted(runs, key=lambda run: -run.started)


def _as_tracked(run: FinishedRun) -> TrackedRun:
    ended = (run.folder / "metrics.json").stat().st_mtime
    seconds = float(run.metrics.get("training", {}).get("seconds", 0.0))
    return TrackedRun(
        run_id=run.run_id or "",
        name=run.name,
        experiment="",
        status="FINISHED",
        started=int(1000 * (ended - seconds)),
        minutes=seconds / 60,
        tags={"run_folder": str(run.folder.resolve())},
        parent=None,
        scores={
            valid_name(f"{split}_{name}"): value
            for split in SPLITS
            for name, value in run.metrics.get(split, {}).items()
        },
    )
