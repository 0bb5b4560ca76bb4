"""What the words on a command line mean: run folders, MLflow runs, experiments, filters."""

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from seq2seq.comparison.runs import FinishedRun, read_run, run_folders
from seq2seq.errors import UserError

if TYPE_CHECKING:
    from seq2seq.tracking.runs import RunStore


def select_runs(wanted: Iterable[str], tracking_uri: str | None = None) -> list[FinishedRun]:
    """Reads the finished runs that are meant.

    Args:
        wanted: Folders of runs, or folders that hold some, such as a sweep's; MLflow run ids; the
            name of an experiment; or a filter, such as `tags.recipe = 'translation/cldr_dates'`.
        tracking_uri: The MLflow store; if null, the default one.

    Returns:
        Each run once, in the order given.

    Raises:
        UserError: If something means no finished run.
    """
    found: dict[Path, FinishedRun] = {}
    store: RunStore | None = None
    for word in wanted:
        if Path(word).is_dir():
            folders: list[tuple[Path, str | None]] = [(f, None) for f in run_folders(Path(word))]
            if not folders:
                raise UserError(f"{word}: holds no finished run (no metrics.json)")
        else:
            store = store or _store(tracking_uri)
            folders = [(store.folder(run_id), run_id) for run_id in store.find(word)]
        for folder, run_id in folders:
            found.setdefault(folder.resolve(), read_run(folder, run_id))
    return list(found.values())


def _store(tracking_uri: str | None) -> "RunStore":
    """MLflow takes seconds to import: those who compare folders do without."""
    from seq2seq.tracking.runs import RunStore

    return RunStore(tracking_uri)
