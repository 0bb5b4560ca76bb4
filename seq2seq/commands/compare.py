"""`seq2seq compare`: compares runs."""

import argparse
from pathlib import Path

from seq2seq.commands._start_tensorflow import start_tensorflow
from seq2seq.progress import step

EXAMPLES = """\
  seq2seq compare RUN1 RUN2
  seq2seq compare multirun/translation/cldr_dates/2026-11-22_09-00-00 -o comparison
  seq2seq compare "tags.recipe = 'translation/multi30k_en_de'" --format markdown
  seq2seq compare RUN1 RUN2 --ignore trainer.epochs
"""


def configure(parser: argparse.ArgumentParser) -> None:
    """Adds the arguments."""
    parser.add_argument(
        "runs",
        metavar="RUN",
        nargs="+",
        help="a run folder, a folder of runs, an MLflow run id, an experiment, or a filter such as "
        "\"tags.recipe = 'translation/multi30k_en_de'\"; the first is the baseline",
    )
    parser.add_argument(
        "--format",
        choices=("table", "markdown", "json", "html"),
        default="table",
        help="the format of the printed comparison (default table)",
    )
    parser.add_argument(
        "-o",
        "--output",
        type=Path,
        metavar="FOLDER",
        help="write all formats and the figures (default: only print)",
    )
    parser.add_argument(
        "--ignore",
        action="append",
        default=[],
        metavar="KEY",
        help="a config key in which runs of one variant may differ, like seed; may be repeated",
    )
    parser.add_argument(
        "--tracking-uri", metavar="URI", help="the MLflow store (default as for training)"
    )
    parser.add_argument(
        "--log", action="store_true", help="log the comparison to MLflow as a separate run"
    )


def run(options: argparse.Namespace) -> int:
    """Compares runs, prints the comparison, and writes it."""
    start_tensorflow()
    import sys
    import tempfile

    with step("loading the libraries"):
        from seq2seq.comparison.compare import compare
        from seq2seq.comparison.page import page, write_comparison
        from seq2seq.comparison.report import as_json, markdown, print_comparison
        from seq2seq.comparison.selection import select_runs
    from seq2seq.terminal import PlainConsole, standard_output

    with step("reading the runs"):
        runs = select_runs(options.runs, options.tracking_uri)
    with step("comparing the runs"):
        comparison = compare([run.without(options.ignore) for run in runs])
    is_terminal = sys.stdout.isatty()
    if options.format == "table":
        print_comparison(comparison, PlainConsole(width=None if is_terminal else 200))
    else:
        format_comparison = {"markdown": markdown, "json": as_json, "html": page}[options.format]
        print(format_comparison(comparison), end="", file=standard_output())
    if options.output is not None:
        with step("writing the comparison"):
            write_comparison(comparison, options.output)
        print(f"page: {options.output / 'comparison.html'}", file=sys.stderr)
    if options.log:
        with step("logging the comparison"), tempfile.TemporaryDirectory() as folder:
            from seq2seq.tracking.mlflow_tracker import MlflowTracker

            tracker = MlflowTracker(options.tracking_uri, "comparisons", run_name="comparison")
            tracker.start(Path(folder), {"runs": options.runs}, {"comparison": "true"})
            write_comparison(comparison, Path(folder))
            tracker.log_folder(Path(folder))
            tracker.finish()
    return 0
