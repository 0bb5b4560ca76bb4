"""`seq2seq evaluate`: a run's scores."""

import argparse
from pathlib import Path

from seq2seq.commands.tensorflow import start_tensorflow


def configure(parser: argparse.ArgumentParser) -> None:
    """Describes the arguments."""
    parser.add_argument("model", metavar="RUN", type=Path, help="a run folder")
    parser.add_argument("--split", default="test", help="a split of the run's data (default test)")
    parser.add_argument("--source", type=Path, help="a file of sources, instead of a split")
    parser.add_argument("--target", type=Path, help="its references, line by line")
    parser.add_argument("--output", type=Path, help="where to write the predictions as JSONL")


def run(options: argparse.Namespace) -> int:
    """Predicts, scores and prints."""
    start_tensorflow()
    from seq2seq.inference.evaluation import evaluate

    evaluate(options.model, options.split, options.source, options.target, options.output)
    return 0
