"""Formats a comparison as tables for a terminal, as Markdown and as JSON."""

import json
import math
import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from itertools import zip_longest
from typing import Any

from rich.console import Console
from rich.table import Table as RichTable

from seq2seq import scores
from seq2seq.comparison.breakdown import Breakdown
from seq2seq.comparison.compare import Comparison, PairedComparison
from seq2seq.comparison.verdict import best_positions, letter, verdict
from seq2seq.plots.curves import TITLES
from seq2seq.terminal import plain, printable

ITEM_SCORES = {"text": "sentence chrF", "forecast": "100 minus half of the sMAPE"}
"""For each kind of prediction, what an example is scored by; others by their correct labels."""


@dataclass(frozen=True)
class Table:
    """A table with a title and a note for readers; the first column names the rows.

    `best` has the row and the column of each cell with the best score of its row.
    """

    title: str
    head: list[str]
    rows: list[list[str]]
    note: str = ""
    best: frozenset[tuple[int, int]] = frozenset()


def tables(comparison: Comparison) -> list[Table]:
    """Returns the tables of a comparison, except its examples."""
    all_tables = [_runs_table(comparison), _config_table(comparison), _scores_table(comparison)]
    if comparison.tests:
        all_tables.append(_tests_table(comparison))
    all_tables += [_breakdown_table(breakdown) for breakdown in comparison.breakdowns]
    return [table for table in all_tables if table.rows]


def number(value: float | None, digits: int = 4) -> str:
    """Formats a number; a dash if it is missing or not finite."""
    if value is None or not math.isfinite(value):
        return "-"
    return scores.number(value, digits)


def p_value(value: float | None) -> str:
    """Formats a p-value with four decimals, as sacreBLEU does."""
    if value is None:
        return "-"
    return f"{value:.4f}" if value >= 0.00005 else "<0.0001"


def breakdown_title(breakdown: Breakdown) -> str:
    """Returns a title such as `BLEU by source length`."""
    name = TITLES.get(breakdown.metric, breakdown.metric.replace("_", " "))
    return f"{name[0].upper()}{name[1:]} by {breakdown.title}"


def variant_names(comparison: Comparison) -> dict[str, str]:
    """Returns the label of each variant with its letter before it, by label."""
    return {v.label: f"{letter(i)} {v.label}" for i, v in enumerate(comparison.variants)}


def _runs_table(comparison: Comparison) -> Table:
    rows = [
        [
            letter(position),
            variant.label,
            ", ".join(run.seed for run in variant.runs),
            ", ".join(str(run.folder) for run in variant.runs),
        ]
        for position, variant in enumerate(comparison.variants)
    ]
    return Table("Variants", ["", "variant", "seeds", "runs"], rows, "A is the baseline.")


def _config_table(comparison: Comparison) -> Table:
    letters = [letter(position) for position in range(len(comparison.variants))]
    rows = [
        [key, *(value or "-" for value in values)] for key, values in comparison.differences.items()
    ]
    return Table("What differs in the config", ["key", *letters], rows)


def _scores_table(comparison: Comparison) -> Table:
    def cell(summary: tuple[float, float | None] | None) -> str:
        if summary is None:
            return "-"
        mean, deviation = summary
        return number(mean) if deviation is None else f"{number(mean)} ± {number(deviation, 2)}"

    names = variant_names(comparison).values()
    rows = [
        [metric, *(cell(variant.summary(metric)) for variant in comparison.variants)]
        for metric in comparison.metrics
    ]
    best = frozenset(
        (row, position + 1)
        for row, metric in enumerate(comparison.metrics)
        for position in best_positions(comparison, metric)
    )
    for name in ("seconds", "steps", "target_tokens_per_second"):
        summaries = [variant.summary(name, "training") for variant in comparison.variants]
        rows.append([f"training: {name.replace('_', ' ')}", *map(cell, summaries)])
    head, baseline = ["score", *names], comparison.baseline_scores
    if baseline:
        head.append(f"best baseline: {baseline['method']}")
        values = [number(baseline.get(metric)) for metric in comparison.metrics]
        rows = [[*row, value] for row, value in zip_longest(rows, values, fillvalue="-")]
    has_seeds = any(len(variant.runs) > 1 for variant in comparison.variants)
    note = "Mean and standard deviation over the seeds of a variant." if has_seeds else ""
    return Table("Test scores", head, rows, note, best)


def _tests_table(comparison: Comparison) -> Table:
    letters = {v.label: letter(i) for i, v in enumerate(comparison.variants)}
    kinds = list(dict.fromkeys(kind for test in comparison.tests for kind in test.corrected))
    several = len(comparison.variants) > 2  # otherwise, there is nothing to correct
    with_seeds = any(test.seeds is not None for test in comparison.tests)
    head = ["score", "", "A", "variant", "difference", "95 % interval"]
    for kind in kinds:
        head += [f"p {kind}", "Holm"] if several else [f"p {kind}"]
    head += ["p seeds"] * with_seeds

    def row(test: PairedComparison) -> list[str]:
        result = test.result
        cells = [result.metric, letters[test.variant], number(result.baseline)]
        cells += [number(result.system), f"{result.difference:+.4g}"]
        cells.append(f"[{result.low:+.4g}, {result.high:+.4g}]")
        for kind in kinds:
            cells.append(p_value(result.p_values.get(kind)))
            cells += [p_value(test.corrected.get(kind))] * several
        return cells + [p_value(test.seeds)] * with_seeds

    text = " Text: sacreBLEU's paired bootstrap and approximate randomisation, with its seed and "
    text += "numbers of samples."
    note = (
        "Paired tests on the items of each variant's median run (by validation) against the "
        "baseline's."
        + text * (comparison.variants[0].representative.kind == "text")
        + " Holm: corrected for the number of variants." * several
        + " p seeds: Welch's t-test between the scores of the seeds." * with_seeds
    )
    return Table("Significance", head, [row(test) for test in comparison.tests], note)


def _breakdown_table(breakdown: Breakdown) -> Table:
    rows = [
        [part, f"{size:,}", *(number(scores[i]) for scores in breakdown.scores.values())]
        for i, (part, size) in enumerate(zip(breakdown.parts, breakdown.sizes, strict=True))
    ]
    title = breakdown_title(breakdown)
    letters = [letter(position) for position in range(len(breakdown.scores))]
    return Table(title, ["part", "items", *letters], rows, breakdown.note)


def examples(comparison: Comparison) -> list[tuple[str, list[Table]]]:
    """Returns titled tables of the items on which each variant differs most from the baseline."""
    titled = []
    kind = comparison.variants[0].representative.kind
    scored = f"in brackets: {ITEM_SCORES.get(kind, 'the share of correct labels, in percent')}"
    names = variant_names(comparison)
    for label, (better, worse) in comparison.examples.items():
        example_tables = [
            Table(
                title,
                [],
                [
                    ["source", item.source],
                    ["reference", item.reference],
                    [f"A ({item.scores[0]:.0f})", item.predictions[0]],
                    [f"{names[label][0]} ({item.scores[1]:.0f})", item.predictions[1]],
                ],
            )
            for title, differences in (("better", better), ("worse", worse))
            for item in differences
        ]
        if example_tables:
            titled.append((f"{names[label]} against A ({scored})", example_tables))
    return titled


def print_comparison(comparison: Comparison, console: Console) -> None:
    """Prints the tables on a terminal."""
    if sentence := verdict(comparison):
        console.print(plain(sentence + "\n", "bold"))
    for table in tables(comparison):
        rich_table = RichTable(
            title=table.title, title_justify="left", title_style="bold", box=None
        )
        for position, name in enumerate(table.head):
            rich_table.add_column(plain(name), justify="left" if position < 2 else "right")
        for number_of_row, row in enumerate(table.rows):
            cells = [
                plain(cell, "bold" if (number_of_row, column) in table.best else "")
                for column, cell in enumerate(row)
            ]
            rich_table.add_row(*cells)
        console.print(rich_table)
        console.print(plain(table.note + "\n" if table.note else "", "dim"))
    for title, example_tables in examples(comparison):
        console.print(plain(f"Items that differ most: {title}", "bold"))
        for table in example_tables:
            grid = RichTable.grid(padding=(0, 2))
            for name, text in table.rows:
                grid.add_row(plain(name, "dim"), plain(text))
            console.print(plain(table.title, "italic"))
            console.print(grid)
    for note in comparison.notes:
        console.print(plain(f"Note: {note}"))


def markdown(comparison: Comparison) -> str:
    """Returns the comparison as GitHub Markdown."""
    parts = ["# Comparison of runs"]
    if sentence := verdict(comparison):
        parts.append(f"**{_escaped(sentence)}**")
    for table in tables(comparison):
        parts += [f"## {table.title}", _markdown_table(table.head, table.rows, table.best)]
        parts += [table.note] if table.note else []
    for title, example_tables in examples(comparison):
        parts.append(f"## Items that differ most: {title}")
        parts += [_markdown_table([t.title, ""], t.rows) for t in example_tables]
    parts += [f"> {_escaped(note)}" for note in comparison.notes]
    return "\n\n".join(parts) + "\n"


def _markdown_table(
    head: Sequence[str],
    rows: Sequence[Sequence[str]],
    best: frozenset[tuple[int, int]] = frozenset(),
) -> str:
    def line(cells: Sequence[str], row: int = -1) -> str:
        texts = [
            f"**{_escaped(cell)}**" if (row, column) in best else _escaped(cell)
            for column, cell in enumerate(cells)
        ]
        return f"| {' | '.join(texts)} |"

    lines = [line(cells, row) for row, cells in enumerate(rows)]
    return "\n".join([line(head), line(["---"] * len(head)), *lines])


def _escaped(text: str) -> str:
    """Escapes markup, links, images and line breaks of a text for Markdown."""
    escaped = re.sub(r"([\\`*\[\]<>|$])", r"\\\1", printable(text))
    return " ".join(escaped.split())


def as_json(comparison: Comparison) -> str:
    """Returns the comparison as JSON."""
    content: dict[str, Any] = {
        "verdict": verdict(comparison),
        "variants": [
            {
                "label": variant.label,
                "runs": [
                    {
                        "folder": str(run.folder),
                        "run_id": run.run_id,
                        "seed": run.seed,
                        "metrics": run.metrics,
                    }
                    for run in variant.runs
                ],
                "test": {
                    metric: dict(zip(("mean", "deviation"), summary, strict=True))
                    for metric in comparison.metrics
                    if (summary := variant.summary(metric)) is not None
                },
            }
            for variant in comparison.variants
        ],
        "best_baseline": comparison.baseline_scores or None,
        "differences": comparison.differences,
        "tests": [
            {
                "variant": test.variant,
                **asdict(test.result),
                "difference": test.result.difference,
                "p_values_holm": test.corrected,
                "p_value_seeds": test.seeds,
            }
            for test in comparison.tests
        ],
        "breakdowns": [asdict(breakdown) for breakdown in comparison.breakdowns],
        "examples": {
            label: {
                name: [asdict(item) for item in differences]
                for name, differences in zip(("better", "worse"), both, strict=True)
            }
            for label, both in comparison.examples.items()
        },
        "notes": comparison.notes,
    }
    return json.dumps(_finite(content), ensure_ascii=False, indent=2, allow_nan=False) + "\n"


def _finite(value: Any) -> Any:
    """Replaces numbers that are not finite, which JSON does not allow, by null."""
    if isinstance(value, dict):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
