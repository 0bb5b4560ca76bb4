"""`seq2seq evaluate`: predicts and scores a split or files."""

import argparse
import sys
from pathlib import Path

from seq2seq.commands.models import local_run, trust_option
from seq2seq.commands.tensorflow import start_tensorflow


def configure(parser: argparse.ArgumentParser) -> None:
    """Describes the arguments."""
    parser.add_argument(
        "model", metavar="RUN", type=Path, help="a run folder, or models:/NAME@ALIAS"
    )
    parser.add_argument("--split", default="test", help="a split of the run's data (default test)")
    parser.add_argument("--source", type=Path, help="a file, instead of a split")
    parser.add_argument(
        "--target",
        type=Path,
        help="the references of --source, line by line, if it does not hold them itself",
    )
    parser.add_argument(
        "--dynamic-rate",
        metavar="RATE",
        type=float,
        help="language models: also measure by dynamic evaluation (the model is updated after each "
        "window) with this learning rate",
    )
    parser.add_argument("--output", type=Path, help="where to write the predictions as JSONL")
    parser.add_argument(
        "--gate",
        help='exit with 1 unless this holds: "bleu >= 24.5" or "bleu >= champion - 0.3"',
    )
    parser.add_argument(
        "--champion",
        metavar="RUN",
        help="the run that `champion` in --gate means, scored on the same data: a run folder, or "
        "models:/NAME@champion",
    )
    trust_option(parser)


def run(options: argparse.Namespace) -> int:
    """Predicts, scores and prints."""
    start_tensorflow()
    from seq2seq.errors import UserError
    from seq2seq.inference.evaluation import data_of, evaluate, scores_on
    from seq2seq.inference.gate import Gate

    gate = Gate.parse(options.gate) if options.gate else None
    if gate is not None and gate.champion and options.champion is None:
        raise UserError("--gate: names the champion; give it: --champion models:/NAME@champion")
    model, test_set = local_run(options.model), (options.split, options.source, options.target)
    scores = evaluate(model, *test_set, options.output, options.dynamic_rate, tuple(options.trust))
    if gate is None:
        return 0
    champion = None
    if gate.champion:
        data = data_of(model, *test_set, tuple(options.trust))
        champion = scores_on(data, options.split, local_run(options.champion), tuple(options.trust))
    passed, message = gate.check(scores, champion)
    print(message, file=sys.stderr)
    return 0 if passed else 1
