"""`seq2seq score`: computes the log-probabilities of given targets."""

import argparse
from pathlib import Path

from seq2seq.commands._run_argument import ensemble_option, local_run, trust_option
from seq2seq.commands._start_tensorflow import start_tensorflow
from seq2seq.progress import step

EXAMPLES = """\
  seq2seq score RUN --source new.en --target new.de
  seq2seq score RUN pairs.tsv --format jsonl -o scores.jsonl
  cut -f 1,2 pairs.tsv | seq2seq score RUN -
"""


def configure(parser: argparse.ArgumentParser) -> None:
    """Adds the arguments."""
    parser.add_argument(
        "model", metavar="RUN", type=Path, help="a run folder, or an id of `seq2seq runs`"
    )
    parser.add_argument(
        "input",
        nargs="?",
        metavar="INPUT",
        help="sources and targets: TSV (two columns) or JSONL (source, target); - for TSV on stdin",
    )
    parser.add_argument("--source", metavar="FILE", type=Path, help="instead, a file of sources")
    parser.add_argument(
        "--target", metavar="FILE", type=Path, help="a file of their targets, line by line"
    )
    parser.add_argument(
        "-o", "--output", metavar="FILE", default="-", help="a file, or - for stdout (default -)"
    )
    parser.add_argument(
        "--format",
        choices=("text", "tsv", "jsonl"),
        help="text: log-probabilities (the default); tsv: source, target, log-probability; jsonl: "
        "the same by name, and the log-probability of each token",
    )
    parser.add_argument("--alignments", action="store_true", help="attention weights of each token")
    parser.add_argument(
        "--batch-size", type=int, metavar="N", default=64, help="pairs at once (default 64)"
    )
    ensemble_option(parser)
    trust_option(parser)


def run(options: argparse.Namespace) -> int:
    """Scores each pair."""
    start_tensorflow()
    options.model = local_run(options.model)
    with step("loading the libraries"):
        from seq2seq.inference.scoring import score_file

    score_file(
        [options.model, *options.ensemble],
        options.input,
        (options.source, options.target),
        options.output,
        options.format,
        options.batch_size,
        options.alignments,
        tuple(options.trust),
    )
    return 0
