"""Prints a report on the terminal at the end of a run."""

import random
import shlex
from collections.abc import Mapping, Sequence
from itertools import zip_longest
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from seq2seq.prediction_rows import kind_of, labels_of, reference_text
from seq2seq.scores import best_baseline, counted, main_score, number
from seq2seq.terminal import plain

SAMPLES = 3
UNITS = {"forecast": "values", "class": "texts", "label set": "texts"}
"""What is counted for the speed of a training, where it is not tokens."""
FIELDS = ("source", "reference", "prediction")


def print_report(
    console: Console,
    metrics: dict[str, Any],
    rows: Sequence[Mapping[str, Any]],
    run_folder: Path,
    pages: Mapping[str, str],
    baselines: Sequence[Mapping[str, Any]] = (),
) -> None:
    """Prints the main score, sample predictions, and the commands to predict and to open MLflow.

    `metrics` is the content of `metrics.json`, `rows` are the test predictions, `pages` those of
    the tracker, `baselines` the scores of each method, if there are others than the model.
    """
    console.print(score_line(metrics, baselines))
    files = "metrics.json and predictions/test.jsonl"
    console.print(f"all results: {files} in the run folder\n", highlight=False)
    for row in random.Random(0).sample(list(rows), min(SAMPLES, len(rows))):
        console.print(sample_table(row))
    training = metrics["training"]
    unit = UNITS.get(kind_of(rows[0]), "tokens") if rows else "tokens"
    console.print(
        f"{counted(training['epochs'], 'epoch')}, {counted(training['steps'], 'step')} in "
        f"{training['seconds']:.0f} s, {training['target_tokens_per_second']:,} target {unit}/s, "
        f"{training['waiting_share']:.0%} waiting for data",
        highlight=False,
    )
    for label, text in (
        ("run folder", str(run_folder)),
        ("predict", f"seq2seq predict {shlex.quote(str(run_folder))} FILE"),
        *pages.items(),
    ):
        # A line that is not wrapped can be copied.
        console.print(plain(f"{label + ':':<13}{text}"), soft_wrap=True)


def score_line(metrics: dict[str, Any], baselines: Sequence[Mapping[str, Any]] = ()) -> Text:
    """Returns the main score of test, bold, of the best baseline there, and of validation."""
    name = main_score(metrics["test"])
    if name is None:
        return Text()
    line = plain(f"{name} {number(metrics['test'][name])}", "bold")
    line.append(" on test", "not bold")
    if best := best_baseline(baselines, name):
        line.append(f" (best baseline: {best[0]} {number(best[1])})", "not bold")
    if name in metrics.get("validation", {}):
        value = number(metrics["validation"][name])
        line.append(f", {value} on validation", "not bold")
    return line


def sample_table(row: Mapping[str, Any]) -> Table:
    """Returns a table with a line each for source, reference and prediction."""
    table = Table.grid(padding=(0, 2))
    table.add_column(no_wrap=True, min_width=len("prediction"))
    table.add_column(no_wrap=True, overflow="ellipsis")
    if kind_of(row) == "tags" and "reference" in row:
        cells = tag_lines(row["tokens"], *labels_of(row))
    elif kind_of(row) == "forecast":
        cells = forecast_lines(row)
    else:
        shown = {**row, "reference": reference_text(row)} if "reference" in row else row
        cells = [plain(str(shown.get(name, "")).replace("\n", "↵")) for name in FIELDS]
    for name, cell in zip(FIELDS, cells, strict=True):
        if name in row or cell.plain:
            table.add_row(plain(name, "dim"), cell)
    table.add_row("")
    return table


def forecast_lines(row: Mapping[str, Any]) -> list[Text]:
    """Returns lines with the series, its true next values, and the forecast of them."""
    parts = [row.get("reference", []), row["prediction"]]
    numbers = [["?" if x is None else number(x) for x in values] for values in parts]
    widths = [max(map(len, column)) for column in zip_longest(*numbers, fillvalue="")]
    lines = [" ".join(x.rjust(w) for x, w in zip(line, widths, strict=False)) for line in numbers]
    return [plain(f"{row['unique_id']} after {row['cutoff']}"), *map(plain, lines)]


def tag_lines(
    tokens: Sequence[str], references: Sequence[str], labels: Sequence[str]
) -> list[Text]:
    """Returns lines of tokens, reference tags and predicted tags in columns; wrong tags are red."""
    lines = [Text(), Text(), Text()]
    for token, reference, label in zip(tokens, references, labels, strict=True):
        wrong = "" if reference == label else "red"
        column = [plain(token), plain(reference), plain(label, wrong)]
        width = max(cell.cell_len for cell in column) + 1
        for line, cell in zip(lines, column, strict=True):
            line.append_text(cell).append(" " * (width - cell.cell_len))
    return lines
