"""`seq2seq runs`: lists runs with their scores."""

import argparse
import json
import math
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from seq2seq.scores import LOWER_IS_BETTER, main_score, number

if TYPE_CHECKING:
    from rich.table import Table

    from seq2seq.tracking.mlflow_runs import TrackedRun

EXAMPLES = """\
  seq2seq runs
  seq2seq runs outputs multirun --limit 5
  seq2seq runs --experiment translation/cldr_dates --filter "metrics.test_exact_match > 0.99"
  seq2seq runs --best --limit 5
  seq2seq runs --tracking-uri http://localhost:5000 --format json
"""

MOST_RANKED = 10_000
"""The newest runs that are looked at for the best ones."""


def configure(parser: argparse.ArgumentParser) -> None:
    """Adds the arguments."""
    parser.add_argument(
        "folders",
        metavar="FOLDER",
        nargs="*",
        type=Path,
        help="folders that contain run folders; by default, the runs in MLflow",
    )
    parser.add_argument(
        "--wide", action="store_true", help="also start, status, duration and more scores"
    )
    parser.add_argument(
        "--best",
        action="store_true",
        help="the best first, by the main score, for each data set; by default the newest first",
    )
    parser.add_argument("--experiment", help="the runs of one MLflow experiment (default: of all)")
    parser.add_argument("--filter", default="", help="a filter in MLflow's syntax (default: none)")
    parser.add_argument(
        "--limit", type=int, metavar="N", default=20, help="the maximum number (default 20)"
    )
    parser.add_argument(
        "--tracking-uri", metavar="URI", help="the MLflow store (default as for training)"
    )
    parser.add_argument(
        "--format",
        choices=("table", "json"),
        default="table",
        help="the format of the list (default table)",
    )


def run(options: argparse.Namespace) -> int:
    """Prints runs, newest first."""
    from seq2seq.errors import UserError
    from seq2seq.terminal import PlainConsole

    if options.limit < 1:
        raise UserError(f"--limit: must be at least 1, got {options.limit}")
    runs = _runs(options)
    if options.best:
        runs = sorted(runs, key=_rank)
    runs = runs[: options.limit]
    if options.format == "json":
        print(json.dumps([asdict(tracked) for tracked in runs], indent=2))
        return 0
    # In files and pipes, the table is not cut to the width of the terminal.
    console = PlainConsole(width=None if sys.stdout.isatty() and not options.wide else 200)
    console.print(_wide_table(runs) if options.wide else _table(runs, console.width))
    return 0


def _runs(options: argparse.Namespace) -> "list[TrackedRun]":
    if options.folders:
        from seq2seq.comparison.selection import runs_in_folders

        return runs_in_folders(options.folders)
    from seq2seq.progress import step

    with step("reading the runs"):
        from seq2seq.tracking.mlflow_runs import RunStore

        store = RunStore(options.tracking_uri)
        limit = MOST_RANKED if options.best else options.limit
        return store.runs(options.experiment, options.filter, limit)


def _table(runs: "Sequence[TrackedRun]", width: int) -> "Table":
    """Returns id, name, recipe, main score, age and folder; the names are cut to fit the width.

    Where the names would be cut for the folders, there are none.
    """
    from seq2seq.terminal import fitted_table

    now = time.time()
    rows = [
        [
            tracked.run_id[:8],
            tracked.name.removesuffix(f" {_result(tracked)}"),  # which has a column of its own
            tracked.tags.get("recipe", ""),
            _result(tracked),
            _age(now - tracked.started / 1000),
            Path(tracked.tags.get("run_folder", "")).name,
        ]
        for tracked in runs
    ]
    titles: tuple[str, ...] = ("id", "run", "recipe", "score", "age", "folder")
    widths = (max(map(len, column)) for column in zip(titles, *rows, strict=True))
    if sum(widths) + 2 * (len(titles) - 1) > width:
        titles, rows = titles[:-1], [row[:-1] for row in rows]
    return fitted_table(titles, rows, "run", width)


def _result(tracked: "TrackedRun") -> str:
    """Returns the main score of a finished run, or else its status."""
    name, value = _main_score(tracked)
    return tracked.status.lower() if name is None else f"{name} {number(value)}"


def _main_score(tracked: "TrackedRun") -> tuple[str | None, float]:
    """Returns name and value of the main score of a finished run; None if there is none."""
    prefix = "test_"
    scores = {n.removeprefix(prefix): v for n, v in tracked.scores.items() if n.startswith(prefix)}
    name = main_score(scores)
    if tracked.status != "FINISHED" or name is None:
        return None, math.nan
    return name, scores[name]


def _rank(tracked: "TrackedRun") -> tuple[bool, str, str, float]:
    """Returns what runs are sorted by: the best first, for each kind of main score and its data.

    Scores of different data cannot be compared.
    """
    name, value = _main_score(tracked)
    data = tracked.tags.get("data", "")
    return name is None, name or "", data, value if name in LOWER_IS_BETTER else -value


def _age(seconds: float) -> str:
    """Returns an age in its largest unit, such as `3 h ago`."""
    for unit, size in (("d", 86_400), ("h", 3_600), ("min", 60)):
        if seconds >= size:
            return f"{int(seconds // size)} {unit} ago"
    return "just now"


def _wide_table(runs: "Sequence[TrackedRun]") -> "Table":
    """Returns also start, status, duration and the most frequent test scores."""
    from rich.markup import escape
    from rich.table import Table

    from seq2seq.terminal import plain
    from seq2seq.tracking.mlflow_runs import score_columns

    scores = score_columns(runs)
    titles = ("id", "started", "run", "recipe", "status", "minutes")
    table = Table(*titles, *map(escape, scores), "folder", box=None)
    for tracked in runs:
        started = datetime.fromtimestamp(tracked.started / 1000).strftime("%Y-%m-%d %H:%M")
        minutes = "" if tracked.minutes is None else f"{tracked.minutes:.1f}"
        values = [number(tracked.scores[s]) if s in tracked.scores else "" for s in scores]
        recipe, status = tracked.tags.get("recipe", ""), tracked.status.lower()
        cells = [tracked.run_id[:8], started, tracked.name, recipe, status, minutes, *values]
        cells.append(tracked.tags.get("run_folder", ""))
        table.add_row(*map(plain, cells))
    return table
