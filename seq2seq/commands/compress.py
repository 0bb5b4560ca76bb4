"""`seq2seq compress`: copies a run with its weights rounded to bfloat16."""

import argparse
from pathlib import Path

from seq2seq.commands._run_argument import local_run, trust_option
from seq2seq.commands._start_tensorflow import start_tensorflow
from seq2seq.progress import step

EXAMPLES = """\
  seq2seq compress RUN smaller
  seq2seq compress RUN faster --precision int8
"""


def configure(parser: argparse.ArgumentParser) -> None:
    """Adds the arguments."""
    parser.add_argument(
        "model",
        metavar="RUN",
        type=Path,
        help="a run folder, an id of `seq2seq runs`, or models:/NAME@ALIAS",
    )
    parser.add_argument("output", metavar="FOLDER", type=Path, help="the folder of the copy")
    parser.add_argument(
        "--precision",
        choices=("float32", "mixed_bfloat16", "int8"),
        help="the precision of computation (default: that of the run); bfloat16 and, for decoding "
        "translations, int8 are faster if the processor has instructions for them",
    )
    trust_option(parser)


def run(options: argparse.Namespace) -> int:
    """Copies the run, and prints the sizes."""
    start_tensorflow()
    with step("loading the libraries"):
        from seq2seq.inference.compression import compress, weights_size
        from seq2seq.ops.dispatch import supports_int8

    model = local_run(options.model)
    with step("compressing the weights"):
        compress(model, options.output, options.precision, tuple(options.trust))
    before, after = (weights_size(folder) / 2**20 for folder in (model, options.output))
    print(f"{options.output}: {after:.1f} MiB of weights, from {before:.1f}")
    if options.precision == "int8" and not supports_int8():
        print("this machine has no instructions for int8, and will not use it")
    return 0
