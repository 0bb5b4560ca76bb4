"""`seq2seq predict`: a file or stdin in and out."""

import argparse
from pathlib import Path

from seq2seq.commands.tensorflow import start_tensorflow


def configure(parser: argparse.ArgumentParser) -> None:
    """Describes the arguments."""
    parser.add_argument("model", metavar="RUN", type=Path, help="a run folder")
    parser.add_argument("input", nargs="?", default="-", help="a text file, or - for stdin")
    parser.add_argument("-o", "--output", default="-", help="a file, or - for stdout")
    parser.add_argument(
        "--format",
        choices=("text", "tsv", "jsonl"),
        default="text",
        help="text: predictions; tsv: source, prediction, score; jsonl: the same by name",
    )
    parser.add_argument("--batch-size", type=int, default=64, help="sentences at once")


def run(options: argparse.Namespace) -> int:
    """Predicts line by line."""
    start_tensorflow()
    from seq2seq.inference.files import predict_file

    predict_file(options.model, options.input, options.output, options.format, options.batch_size)
    return 0
