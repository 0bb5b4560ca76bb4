"""Writes a comparison as figures and as a self-contained HTML page."""

import base64
import io
import platform
from dataclasses import dataclass
from datetime import datetime
from importlib import metadata, resources
from pathlib import Path

import jinja2
import numpy as np
from matplotlib.figure import Figure

from seq2seq.comparison.compare import Comparison
from seq2seq.comparison.report import (
    as_json,
    breakdown_title,
    examples,
    markdown,
    tables,
    variant_names,
)
from seq2seq.comparison.verdict import verdict
from seq2seq.files import write_text
from seq2seq.plots.comparison import difference_intervals, scores_by_part, variant_curves
from seq2seq.plots.figure import figure_style, save_figure
from seq2seq.version import version

TEXT_TABLES = ("Variants", "What differs in the config")


@dataclass(frozen=True)
class Picture:
    """An image of the page: a PNG in base 64, displayed `width` pixels wide."""

    name: str
    data: str
    width: int


def figures(comparison: Comparison) -> dict[str, tuple[str, Figure]]:
    """Returns the figures of a comparison: file name to the title of its table and the figure."""
    names = variant_names(comparison)
    pictures: dict[str, tuple[str, Figure]] = {}
    histories = {
        names[variant.label]: [run.history for run in variant.runs if run.history]
        for variant in comparison.variants
    }
    for metric in dict.fromkeys([comparison.baseline.runs[0].monitor, "val_loss"]):
        if all(any(metric in e for h in runs for e in h) for runs in histories.values()):
            pictures[f"curves_{metric}"] = ("Test scores", variant_curves(histories, metric))
    for metric in dict.fromkeys(test.result.metric for test in comparison.tests):
        tests = [test for test in comparison.tests if test.result.metric == metric]
        pictures[f"difference_{metric}"] = (
            "Significance",
            difference_intervals(
                f"{metric}: difference to A, 95 % interval",
                [names[test.variant] for test in tests],
                [test.result.difference for test in tests],
                np.array([[test.result.low, test.result.high] for test in tests]),
            ),
        )
    for breakdown in comparison.breakdowns:
        pictures[f"by_{breakdown.title.replace(' ', '_')}"] = (
            breakdown_title(breakdown),
            scores_by_part(
                breakdown.title,
                breakdown.metric,
                breakdown.parts,
                breakdown.sizes,
                {names[label]: scores for label, scores in breakdown.scores.items()},
            ),
        )
    return pictures


def page(comparison: Comparison) -> str:
    """Returns a comparison as one HTML page with embedded figures."""
    pictures: dict[str, list[Picture]] = {}
    for name, (table, figure) in figures(comparison).items():
        pictures.setdefault(table, []).append(_picture(name, figure))
    source = resources.files("seq2seq.comparison").joinpath("page.html").read_text("utf-8")
    template = jinja2.Environment(autoescape=True, trim_blocks=True).from_string(source)
    all_tables = tables(comparison)
    return template.render(
        verdict=verdict(comparison),
        notes=comparison.notes,
        tables=all_tables,
        numeric=[table.title for table in all_tables if table.title not in TEXT_TABLES],
        pictures=pictures,
        examples=examples(comparison),
        date=datetime.now().strftime("%Y-%m-%d %H:%M"),
        versions=[f"{name} {number}" for name, number in _versions().items()],
    )


def write_comparison(comparison: Comparison, folder: Path) -> None:
    """Writes `comparison.html`, `.md` and `.json`, and the figures as PNG, into a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    for ending, text in (
        ("html", page(comparison)),
        ("md", markdown(comparison)),
        ("json", as_json(comparison)),
    ):
        write_text(folder / f"comparison.{ending}", text)
    for name, (_, figure) in figures(comparison).items():
        save_figure(figure, folder / "plots" / f"{name}.png")


def _versions() -> dict[str, str]:
    """Returns the versions of what has made the comparison."""
    return {
        "seq2seq": version(),
        "sacreBLEU": metadata.version("sacrebleu"),
        "SciPy": metadata.version("scipy"),
        "Python": platform.python_version(),
    }


def _picture(name: str, figure: Figure) -> Picture:
    stream = io.BytesIO()
    with figure_style():
        figure.savefig(stream, format="png", dpi=150, facecolor="white")
    data = base64.b64encode(stream.getvalue()).decode("ascii")
    return Picture(name.replace("_", " "), data, round(82 * figure.get_figwidth()))
