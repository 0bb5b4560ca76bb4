"""`seq2seq augment`: adds back-translated texts to the data of a translation run."""

import argparse
from pathlib import Path

from seq2seq.commands._run_argument import local_run
from seq2seq.commands._start_tensorflow import start_tensorflow
from seq2seq.commands._synthetic_data import decoding_of, print_result, synthetic_data_options
from seq2seq.progress import step

EXAMPLES = """\
  seq2seq augment REVERSE_RUN monolingual.txt -o augmented
  seq2seq augment REVERSE_RUN news.txt.gz talks.txt -o augmented --ratio 2 --tag "<BT>"
  seq2seq augment REVERSE_RUN monolingual.txt -o augmented --decoding sampling --set seed=3
  seq2seq augment REVERSE_RUN monolingual.txt -o augmented --forward RUN --real-copies 4

stopped at any point, the same command goes on; the last line that it prints is the command that
trains on the data
"""


def configure(parser: argparse.ArgumentParser) -> None:
    """Adds the arguments."""
    parser.add_argument(
        "model",
        metavar="REVERSE_RUN",
        type=Path,
        help="a run that translates from target to source: a run folder, an id of `seq2seq runs`, "
        "or models:/NAME@ALIAS",
    )
    parser.add_argument(
        "texts",
        nargs="+",
        metavar="TEXTS",
        type=Path,
        help="files in the target language, one text a line, prepared like the run's data; gzip "
        "works",
    )
    synthetic_data_options(parser, real_copies=1)
    parser.add_argument(
        "--forward",
        metavar="RUN",
        type=Path,
        help="a run from source to target, whose data are the real pairs and whose settings train "
        "on all (default: those of REVERSE_RUN, with source and target exchanged)",
    )
    parser.add_argument(
        "--ratio",
        type=float,
        metavar="R",
        help="synthetic pairs for each real one, copies counted, taken at even distances from the "
        "texts (default: all of the texts)",
    )
    parser.add_argument(
        "--tag",
        metavar="TOKEN",
        default="",
        help="a token in front of synthetic sources, such as '<BT>' (default: none)",
    )


def run(options: argparse.Namespace) -> int:
    """Writes the data, and prints the command that trains on them."""
    start_tensorflow()
    runs = [local_run(options.model), *options.ensemble]
    forward = None if options.forward is None else local_run(options.forward)
    with step("loading the libraries"):
        from seq2seq.inference.synthetic.back_translation import Mixture, back_translate

    written = back_translate(
        runs,
        options.texts,
        options.output,
        decoding_of(options),
        Mixture(options.ratio, options.real_copies, options.tag),
        forward,
        tuple(options.trust),
    )
    print_result(options.output, written, "on them")
    return 0
