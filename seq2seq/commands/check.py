"""`seq2seq check`: reports on the data of a recipe before training."""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from seq2seq.commands._figure import check_figure_folder
from seq2seq.commands._overrides import check_recipe_is_named, config_of, overrides_argument
from seq2seq.commands._start_tensorflow import start_tensorflow
from seq2seq.errors import UserError

if TYPE_CHECKING:
    from rich.console import Console

    from seq2seq.data_check import DataMeasures, SplitMeasures

EXAMPLES = """\
  seq2seq check translation/multi30k_en_de
  seq2seq check tagging/own_data data.directory=/my/data data.files.train=train.conll
  seq2seq check classification/imdb task.maximum_length=200
  seq2seq check classification/trec --figure data.png
"""

SHOWN_LABELS, SHOWN_PROBLEMS = 5, 8


def configure(parser: argparse.ArgumentParser) -> None:
    """Adds the arguments."""
    overrides_argument(parser, "check")
    parser.add_argument(
        "--figure",
        type=Path,
        metavar="FILE",
        help="a picture to write: lengths, labels, unknown tokens, duplicates (default: none)",
    )


def run(options: argparse.Namespace) -> int:
    """Reads the data as training does, and prints measures and problems."""
    check_recipe_is_named(options.overrides, "check")
    if options.figure is not None:
        check_figure_folder(options.figure)
    start_tensorflow()
    from seq2seq.data_check import check_data
    from seq2seq.terminal import PlainConsole

    measures = check_data(config_of(options.overrides))
    print_measures(measures, PlainConsole())
    if options.figure is not None:
        draw_measures(measures, options.figure)
    return 0


def draw_measures(measures: "DataMeasures", path: Path) -> None:
    """Draws the measures of all splits as a PNG."""
    from seq2seq.plots.data_check import data_figure
    from seq2seq.plots.figure import save_figure

    splits = measures.splits
    figure = data_figure(
        lengths={
            column: {name: split.length_counts[column] for name, split in splits.items()}
            for column in splits["train"].length_counts
        },
        labels={name: split.labels for name, split in splits.items()},
        unknown={name: split.unknown for name, split in splits.items()},
        duplicates={name: _duplicate_shares(split) for name, split in splits.items()},
    )
    try:
        save_figure(figure, path, heading=measures.name)
    except OSError as error:
        raise UserError(f"--figure {path}: cannot be written ({error})") from error


def _duplicate_shares(split: "SplitMeasures") -> dict[str, float]:
    """Returns the share of the records of each kind of duplicate."""
    counts = {
        "duplicates": split.duplicates,
        "near-duplicates": split.near_duplicates,
        "in an earlier split": split.shared_inputs,
        "nearly so": split.near_shared,
    }
    return {name: count / max(split.records, 1) for name, count in counts.items()}


def print_measures(measures: "DataMeasures", console: "Console") -> None:
    """Prints the tables of counts, lengths and labels, and the problems."""
    from seq2seq.terminal import plain

    console.print(plain(f"{measures.name} ({measures.source})"), soft_wrap=True)
    _print_counts(measures, console)
    _print_lengths(measures, console)
    _print_labels(measures, console)
    padding = "" if measures.padding is None else f", {measures.padding:.1%} padding"
    console.print(plain(f" {measures.batches:,} batches in an epoch{padding}"))
    for remark in measures.remarks:
        console.print(plain(f" {remark}"))
    problems = measures.problems()
    for problem in problems[:SHOWN_PROBLEMS]:
        console.print(plain(f" ! {problem}", "yellow"))
    if len(problems) > SHOWN_PROBLEMS:
        console.print(plain(f" ! and {len(problems) - SHOWN_PROBLEMS} more problems", "yellow"))
    if not problems:
        console.print(plain(" no problems found", "green"))


def _print_counts(measures: "DataMeasures", console: "Console") -> None:
    from rich.table import Table

    splits = measures.splits.values()
    table = Table("", box=None)
    for split in measures.splits:
        table.add_column(split, justify="right")
    rows = {
        "records": [f"{split.records:,}" for split in splits],
        "left out": [f"{split.records - split.used:,}" for split in splits],
        "duplicates": [f"{split.duplicates:,}" for split in splits],
        "same input, other target": [f"{split.other_targets:,}" for split in splits],
        "input in an earlier split": [f"{split.shared_inputs:,}" for split in splits],
        "record in an earlier split": [f"{split.shared_records:,}" for split in splits],
        "near-duplicates": [f"{split.near_duplicates:,}" for split in splits],
        "near one of an earlier split": [f"{split.near_shared:,}" for split in splits],
    }
    for column in next(iter(splits)).unknown:
        name = f"unknown tokens, {column}"
        rows[name] = [f"{split.unknown[column]:.2%}" for split in splits]
    for name, values in rows.items():
        table.add_row(name, *values)
    console.print(table)


def _print_lengths(measures: "DataMeasures", console: "Console") -> None:
    from rich.table import Table

    from seq2seq.data_check import PERCENTILES

    ends = {0: "shortest", 50: "median", 100: "longest"}
    table = Table("lengths", box=None)
    for percentile in PERCENTILES:
        table.add_column(ends.get(percentile, f"{percentile} %"), justify="right")
    for column in next(iter(measures.splits.values())).lengths:
        for name, split in measures.splits.items():
            table.add_row(f"{column}, {name}", *(f"{n:,}" for n in split.lengths[column]))
    console.print(table)


def _print_labels(measures: "DataMeasures", console: "Console") -> None:
    """Prints the most frequent labels of training, and the range of the others."""
    from rich.table import Table

    from seq2seq.terminal import plain

    counts = measures.splits["train"].labels
    if not counts:
        return
    names = sorted(counts, key=lambda name: -counts[name])
    shown = names if len(names) <= SHOWN_LABELS + 1 else names[:SHOWN_LABELS]
    table = Table("label", box=None)
    for split in measures.splits:
        table.add_column(split, justify="right")
    for name in shown:
        values = (f"{split.labels[name]:,}" for split in measures.splits.values())
        table.add_row(plain(name), *values)
    if rest := names[len(shown) :]:
        values = (
            f"{min(numbers):,} to {max(numbers):,}"
            for split in measures.splits.values()
            for numbers in [[split.labels[name] for name in rest]]
        )
        table.add_row(f"{len(rest)} more", *values)
    console.print(table)
