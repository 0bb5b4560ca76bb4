"""Prints a report on the terminal at the end of a run."""

import random
import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from seq2seq.terminal import plain

SAMPLES = 5


def print_report(
    console: Console,
    metrics: dict[str, Any],
    rows: Sequence[Mapping[str, Any]],
    run_folder: Path,
    pages: Mapping[str, str],
) -> None:
    """Prints scores, sample predictions, and the commands to predict and to open MLflow.

    `metrics` is the content of `metrics.json`, `rows` are the test predictions, `pages` those of
    the tracker.
    """
    console.print(scores_table(metrics))
    for row in random.Random(0).sample(list(rows), min(SAMPLES, len(rows))):
        console.print(sample_table(row))
    training = metrics["training"]
    console.print(
        f"{training['epochs']} epochs, {training['steps']:,} steps in {training['seconds']:.0f} s, "
        f"{training['target_tokens_per_second']:,} target tokens/s, "
        f"{training['waiting_share']:.2%} of the step time waiting for data",
        highlight=False,
    )
    for label, text in (
        ("run folder", str(run_folder)),
        ("predict", f"seq2seq predict {shlex.quote(str(run_folder))} FILE"),
        *pages.items(),
    ):
        # A line that is not wrapped can be copied.
        console.print(plain(f"{label + ':':<13}{text}"), soft_wrap=True)


def scores_table(metrics: dict[str, Any]) -> Table:
    """Returns a table with a row per metric and a column per split."""
    splits = [split for split in ("validation", "test") if split in metrics]
    table = Table("score", *splits, box=None)
    for name in metrics["test"]:
        values = [metrics[split].get(name) for split in splits]  # not all splits have all scores
        table.add_row(plain(name), *("" if value is None else f"{value:.4g}" for value in values))
    return table


def sample_table(row: Mapping[str, Any]) -> Table:
    """Returns a table with the rows source, reference and prediction."""
    table = Table.grid(padding=(0, 2))
    for name in ("source", "reference", "prediction"):
        if name in row:
            table.add_row(plain(name, "dim"), plain(str(row[name])))
    table.add_row("")
    return table
