"""`seq2seq evaluate`: predicts and scores a split or files."""

import argparse
import sys
from pathlib import Path

from seq2seq.commands._run_argument import local_run, set_option, trust_option
from seq2seq.commands._start_tensorflow import start_tensorflow
from seq2seq.progress import step

EXAMPLES = """\
  seq2seq evaluate RUN
  seq2seq evaluate RUN --source new.en --target new.de --output predictions.jsonl
  seq2seq evaluate RUN --source newer.csv --set data.sort=true data.missing=linear
  seq2seq evaluate RUN --gate "bleu >= 24.5"
  seq2seq evaluate RUN --champion models:/dates@champion --gate "exact_match >= champion - 0.001"

--gate: exit code 1 if the score does not pass
"""


def configure(parser: argparse.ArgumentParser) -> None:
    """Adds the arguments."""
    parser.add_argument(
        "model",
        metavar="RUN",
        type=Path,
        help="a run folder, an id of `seq2seq runs`, or models:/NAME@ALIAS",
    )
    parser.add_argument("--split", default="test", help="a split of the run's data (default test)")
    parser.add_argument(
        "--source",
        metavar="FILE",
        type=Path,
        help="a file of sources, instead of a split (default: none)",
    )
    parser.add_argument(
        "--target",
        metavar="FILE",
        type=Path,
        help="a file of references, line by line, if --source has none",
    )
    parser.add_argument(
        "--dynamic-rate",
        metavar="RATE",
        type=float,
        help="for language models: the learning rate of dynamic evaluation, which updates the "
        "model after each window, such as 1e-3 (default: none)",
    )
    parser.add_argument(
        "--output", type=Path, help="a file for the predictions, as JSONL (default: none)"
    )
    parser.add_argument(
        "--gate",
        help='exit with 1 unless this holds: "bleu >= 24.5" or "bleu >= champion - 0.3"',
    )
    parser.add_argument(
        "--champion",
        metavar="RUN",
        help="the run to which --gate compares, scored on the same data: a run folder, or "
        "models:/NAME@champion",
    )
    set_option(
        parser,
        "how a --source of series is read, such as data.sort=true (default: as in training)",
    )
    trust_option(parser)


def run(options: argparse.Namespace) -> int:
    """Predicts, scores and prints."""
    start_tensorflow()
    from seq2seq.errors import UserError

    with step("loading the libraries"):
        from seq2seq.inference.evaluation import data_of, evaluate, scores_on
        from seq2seq.inference.score_gate import Gate
        from seq2seq.request import parse_settings

    gate = Gate.parse(options.gate) if options.gate else None
    if gate is not None and gate.champion and options.champion is None:
        raise UserError("--gate: compares to the champion; add --champion models:/NAME@champion")
    model, test_set = local_run(options.model), (options.split, options.source, options.target)
    trust, settings = tuple(options.trust), parse_settings(options.set)
    scores = evaluate(model, *test_set, options.output, options.dynamic_rate, trust, settings)
    if gate is None:
        return 0
    champion = None
    if gate.champion:
        data = data_of(model, *test_set, trust, settings)
        champion = scores_on(data, options.split, local_run(options.champion), trust)
    passed, message = gate.check(scores, champion)
    print(message, file=sys.stderr)
    return 0 if passed else 1
