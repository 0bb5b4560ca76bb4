"""Finds the runs that a command line names: folders, MLflow runs, experiments, filters."""

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from seq2seq.comparison.runs import FinishedRun, read_run, run_folders
from seq2seq.errors import UserError

if TYPE_CHECKING:
    from seq2seq.tracking.runs import RunStore


def select_runs(names: Iterable[str], tracking_uri: str | None = None) -> list[FinishedRun]:
    """Reads the named finished runs, each once, in order.

    Args:
        names: Run folders, or folders that hold some, such as a sweep's; MLflow run ids; the name
            of an experiment; or a filter, such as `tags.recipe = 'translation/cldr_dates'`.
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
    """Returns the MLflow store; MLflow takes seconds to import, and folders do not need it."""
    from seq2seq.tracking.runs import RunStore

    return RunStore(tracking_uri)
