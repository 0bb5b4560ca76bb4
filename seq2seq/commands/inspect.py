"""`seq2seq inspect`: writes states and gates of a run's recurrent layers, or shows a batch."""

import argparse
from pathlib import Path

from seq2seq.commands._run_argument import local_run, trust_option
from seq2seq.commands._start_tensorflow import start_tensorflow
from seq2seq.progress import step

EXAMPLES = """\
  seq2seq inspect RUN "7 May 2031" -o inspection
  seq2seq inspect RUN "7 May 2031" --target 2031-05-07
  seq2seq inspect RUN sentences.txt --map pca
  seq2seq inspect RUN RUN/diverged/step_1234.npz      # the batch on which its training diverged
"""


def configure(parser: argparse.ArgumentParser) -> None:
    """Adds the arguments."""
    parser.add_argument(
        "model", metavar="RUN", type=Path, help="a run folder, or an id of `seq2seq runs`"
    )
    parser.add_argument(
        "input",
        nargs="?",
        default="-",
        metavar="INPUT",
        help="a text, a file of inputs, or - for stdin (default -); or a file of RUN/diverged",
    )
    parser.add_argument(
        "-o",
        "--output",
        type=Path,
        default=Path("inspection"),
        help="the folder for arrays and figures (default inspection)",
    )
    parser.add_argument(
        "--target", help="for translations: the input of the decoder (default: the prediction)"
    )
    parser.add_argument(
        "--map",
        choices=("pca", "tsne"),
        help="instead, plot all inputs as points coloured by label or prediction",
    )
    trust_option(parser)


def run(options: argparse.Namespace) -> int:
    """Writes the states of each input, or a map of all inputs; or shows a diverged batch."""
    if options.input.endswith(".npz"):
        with step("loading the libraries"):
            from seq2seq.inference.diverged_batch import inspect_diverged_batch

        inspect_diverged_batch(Path(options.input), options.output)
        return 0
    start_tensorflow()
    options.model = local_run(options.model)
    with step("loading the libraries"):
        from seq2seq.inference.inspection import inspect, inspect_map

    if options.map:
        inspect_map(options.model, options.input, options.output, options.map, tuple(options.trust))
    else:
        inspect(options.model, options.input, options.output, options.target, tuple(options.trust))
    return 0
