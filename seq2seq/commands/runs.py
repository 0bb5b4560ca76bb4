"""`seq2seq runs`: lists runs with their scores."""

import argparse
import json
import sys
from dataclasses import asdict
from datetime import datetime
from pathlib import Path

EXAMPLES = """\
  seq2seq runs
  seq2seq runs outputs multirun --limit 5
  seq2seq runs --experiment translation/cldr_dates --filter "metrics.test_exact_match > 0.99"
  seq2seq runs --tracking-uri http://localhost:5000 --format json
"""


def configure(parser: argparse.ArgumentParser) -> None:
    """Adds the arguments."""
    parser.add_argument(
        "folders",
        metavar="FOLDER",
        nargs="*",
        type=Path,
        help="folders that contain run folders; by default, the runs in MLflow",
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
    from rich.markup import escape
    from rich.table import Table

    from seq2seq.errors import UserError
    from seq2seq.terminal import PlainConsole, plain
    from seq2seq.tracking.mlflow_runs import RunStore, score_columns

    if options.limit < 1:
        raise UserError(f"--limit: must be at least 1, got {options.limit}")
    if options.folders:
        from seq2seq.comparison.selection import runs_in_folders

        runs = runs_in_folders(options.folders)[: options.limit]
    else:
        store = RunStore(options.tracking_uri)
        runs = store.runs(options.experiment, options.filter, options.limit)
    if options.format == "json":
        print(json.dumps([asdict(tracked) for tracked in runs], indent=2))
        return 0
    scores = score_columns(runs)
    table = Table(
        "started", "run", "recipe", "status", "minutes", *map(escape, scores), "id", box=None
    )
    for tracked in runs:
        started = datetime.fromtimestamp(tracked.started / 1000).strftime("%Y-%m-%d %H:%M")
        minutes = "" if tracked.minutes is None else f"{tracked.minutes:.1f}"
        values = [f"{tracked.scores[s]:.4g}" if s in tracked.scores else "" for s in scores]
        recipe, status = tracked.tags.get("recipe", ""), tracked.status.lower()
        cells = [started, tracked.name, recipe, status, minutes, *values, tracked.run_id[:8]]
        table.add_row(*map(plain, cells))
    # In files and pipes, the table is not cut to the width of the terminal.
    PlainConsole(width=None if sys.stdout.isatty() else 200).print(table)
    return 0
