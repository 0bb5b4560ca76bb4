"""Finds runs in folders and in MLflow."""

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from seq2seq.comparison.finished_run import FinishedRun, read_run, run_folders
from seq2seq.errors import UserError

if TYPE_CHECKING:  # MLflow takes seconds to import, and folders do not need it
    from seq2seq.tracking.mlflow_runs import RunStore, TrackedRun


def select_runs(names: Iterable[str], tracking_uri: str | None = None) -> list[FinishedRun]:
    """Reads the named finished runs, each once, in order.

    Args:
        names: Run folders, or folders that contain run folders, such as a sweep's; MLflow run ids;
            the name of an experiment; or a filter: `tags.recipe = 'translation/cldr_dates'`.
        tracking_uri: The MLflow store; None for the default one.

    Raises:
        UserError: If a name has no finished run.
    """
    runs: dict[Path, FinishedRun] = {}
    store: RunStore | None = None
    for name in names:
        if Path(name).is_dir():
            folders: list[tuple[Path, str | None]] = [(f, None) for f in run_folders(Path(name))]
            if not folders:
                raise UserError(f"{name}: holds no finished run (no metrics.json)")
        else:
            store = store or _store(tracking_uri)
            folders = [(store.folder(run_id), run_id) for run_id in store.find(name)]
        for folder, run_id in folders:
            runs.setdefault(folder.resolve(), read_run(folder, run_id))
    return list(runs.values())


def _store(tracking_uri: str | None) -> "RunStore":
    from seq2seq.tracking.mlflow_runs import RunStore

    return RunStore(tracking_uri)


def runs_in_folders(folders: Iterable[Path]) -> "list[TrackedRun]":
    """Returns the finished runs in folders in the form of MLflow's runs, newest first."""
    runs: list[TrackedRun] = []
    for folder in folders:
        if not folder.is_dir():
            raise UserError(f"{folder}: is not a folder")
        runs += [_as_tracked(read_run(run_folder)) for run_folder in run_folders(folder)]
    return sorted(runs, key=lambda run: -run.started)


def _as_tracked(run: FinishedRun) -> "TrackedRun":
    from seq2seq.tracking.mlflow_runs import TrackedRun
    from seq2seq.tracking.parameters import valid_name

    end = (run.folder / "metrics.json").stat().st_mtime
    seconds = float(run.metrics.get("training", {}).get("seconds", 0.0))
    return TrackedRun(
        run_id=run.run_id or "",
        name=run.name,
        experiment="",
        status="FINISHED",
        started=int(1000 * (end - seconds)),
        minutes=seconds / 60,
        tags={"run_folder": str(run.folder.resolve())},
        parent=None,
        scores={
            valid_name(f"{part}_{name}"): value
            for part in ("validation", "test", "training")
            for name, value in run.metrics.get(part, {}).items()
        },
    )
