"""`seq2seq distill`: writes a run's translations of its training data, to train a student on."""

import argparse
from pathlib import Path

from seq2seq.commands._run_argument import local_run
from seq2seq.commands._start_tensorflow import start_tensorflow
from seq2seq.commands._synthetic_data import decoding_of, print_result, synthetic_data_options
from seq2seq.progress import step

EXAMPLES = """\
  seq2seq distill RUN -o distilled
  seq2seq distill RUN --ensemble RUN2 RUN3 -o distilled --set beam_size=10
  seq2seq distill RUN -o distilled --real-copies 1

stopped at any point, the same command goes on; the last line that it prints is the command that
trains the student, with the settings of RUN: change them for a smaller student
"""


def configure(parser: argparse.ArgumentParser) -> None:
    """Adds the arguments."""
    parser.add_argument(
        "model",
        metavar="RUN",
        type=Path,
        help="the teacher: a run folder, an id of `seq2seq runs`, or models:/NAME@ALIAS",
    )
    synthetic_data_options(parser, real_copies=0)


def run(options: argparse.Namespace) -> int:
    """Writes the data, and prints the command that trains the student."""
    start_tensorflow()
    runs = [local_run(options.model), *options.ensemble]
    with step("loading the libraries"):
        from seq2seq.inference.synthetic.distillation import distill

    written = distill(
        runs, options.output, decoding_of(options), options.real_copies, tuple(options.trust)
    )
    print_result(options.output, written, "the student")
    return 0
