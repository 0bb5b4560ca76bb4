"""`seq2seq runs`: what was run, and what it scored."""

import argparse
import json
import sys
from dataclasses import asdict
from datetime import datetime
from pathlib import Path


def configure(parser: argparse.ArgumentParser) -> None:
    """Describes the arguments."""
    parser.add_argument(
        "folders",
        metavar="FOLDER",
        nargs="*",
        type=Path,
        help="folders to look for run folders in, instead of MLflow",
    )
    parser.add_argument("--experiment", help="those of one MLflow experiment")
    parser.add_argument("--filter", default="", help="MLflow's search syntax")
    parser.add_argument("--limit", type=int, default=20, help="the most runs (default 20)")
    parser.add_argument("--tracking-uri", help="the MLflow store (default as for training)")
    parser.add_argument("--format", choices=("table", "json"), default="table")


def run(options: argparse.Namespace) -> int:
    """Prints runs, the newest first."""
    from rich.markup import escape
    from rich.table import Table

    from seq2seq.errors import UserError
    from seq2seq.terminal import PlainConsole, plain
    from seq2seq.tracking.runs import RunStore, score_columns

    if options.limit < 1:
        raise UserError(f"--limit: must be at least 1, got {options.limit}")
    if options.folders:
        from seq2seq.comparison.listing import runs_in_folders

        found = runs_in_folders(options.folders)[: options.limit]
    else:
        store = RunStore(options.tracking_uri)
        found = store.runs(options.experiment, options.filter, options.limit)
    if options.format == "json":
        print(json.dumps([asdict(each) for each in found], indent=2))
        return 0
    scores = score_columns(found)
    table = Table(
        "started", "run", "recipe", "status", "minutes", *map(escape, scores), "id", box=None
    )
    for each in found:
        began = datetime.fromtimestamp(each.started / 1000).strftime("%Y-%m-%d %H:%M")
        minutes = "" if each.minutes is None else f"{each.minutes:.1f}"
        values = [f"{each.scores[name]:.4g}" if name in each.scores else "" for name in scores]
        recipe = each.tags.get("recipe", "")
        cells = [began, each.name, recipe, each.status.lower(), minutes, *values, each.run_id[:8]]
        table.add_row(*map(plain, cells))
    # What goes into a file or a pipe is not cut to a terminal's width.
    PlainConsole(width=None if sys.stdout.isatty() else 200).print(table)
    return 0
