"""The command `seq2seq`. TensorFlow is imported only once a command needs it."""

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

from seq2seq import __version__
from seq2seq.errors import INTERRUPTED, USER_ERROR, UserError

DESCRIPTION = "Train, compare and use recurrent sequence models (LSTM, GRU)."

TRAIN_HELP = """\
usage: seq2seq train recipe=NAME [key=value ...] [-m] [--debug]

Trains, evaluates and tracks one run; the config is composed with Hydra.

  seq2seq train recipe=translation/cldr_dates
  seq2seq train recipe=translation/cldr_dates model.encoder.units=256 trainer.epochs=5
  seq2seq train recipe=my_recipe.yaml data.directory=/my/data tracking=none
  seq2seq train -m recipe=translation/cldr_dates model.encoder.cell=lstm,gru seed=1,2
  seq2seq train resume=outputs/translation/cldr_dates/2026-11-22_09-00-00

  recipe=NAME        a recipe of the package (`seq2seq recipes` lists them) or a YAML file
  key=value          any config value; group=choice any config group
  hydra.run.dir=DIR  the run folder (default outputs/RECIPE/TIME)
  resume=RUN         go on with an interrupted run; more overrides may follow
  -m, --multirun     one run for every combination of comma-separated values
  --cfg job          print the config instead of running it
  --debug            show the stack trace of an error
"""


def main(arguments: Sequence[str] | None = None) -> None:
    """Runs one command; exits with 2 and one message on a mistake of the user."""
    arguments = list(sys.argv[1:] if arguments is None else arguments)
    debug = "--debug" in arguments
    arguments = [argument for argument in arguments if argument != "--debug"]
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    try:
        if arguments[:1] == ["train"]:
            sys.exit(train(arguments[1:], debug))
        options = parser().parse_args(arguments)
        sys.exit(options.run(options))
    except UserError as error:
        if debug:
            raise
        print(f"seq2seq: error: {error}", file=sys.stderr)
        sys.exit(USER_ERROR)
    except KeyboardInterrupt:
        if debug:
            raise
        print("seq2seq: stopped", file=sys.stderr)
        sys.exit(INTERRUPTED)
    except BrokenPipeError:  # the reader of our output has gone: nothing left to say
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)


class Parser(argparse.ArgumentParser):
    """Keeps argparse's exit code 2, with a message in the words of the other errors."""

    def error(self, message: str) -> NoReturn:
        """Prints the message and how to get help."""
        self.exit(2, f"{self.prog}: error: {message}. `{self.prog} --help` shows the usage.\n")


def parser() -> argparse.ArgumentParser:
    """Describes every command but `train`, whose arguments are Hydra's."""
    top = Parser(prog="seq2seq", description=DESCRIPTION)
    top.add_argument("--version", action="version", version=f"seq2seq {__version__}")
    commands = top.add_subparsers(title="commands", required=True, metavar="COMMAND")

    commands.add_parser("train", help="train, evaluate and track a run (Hydra overrides)")

    recipes = commands.add_parser("recipes", help="list the recipes, one line each")
    recipes.set_defaults(run=list_recipes)

    evaluate = commands.add_parser("evaluate", help="score a run on its test split or on files")
    evaluate.add_argument("model", metavar="RUN", type=Path, help="a run folder")
    evaluate.add_argument(
        "--split", default="test", help="a split of the run's data (default test)"
    )
    evaluate.add_argument("--source", type=Path, help="a file of sources, instead of a split")
    evaluate.add_argument("--target", type=Path, help="its references, line by line")
    evaluate.add_argument("--output", type=Path, help="where to write the predictions as JSONL")
    evaluate.add_argument("--debug", action="store_true", help="show the stack trace of an error")
    evaluate.set_defaults(run=evaluate_run)

    predict = commands.add_parser("predict", help="predict with a run: a file or stdin in and out")
    predict.add_argument("model", metavar="RUN", type=Path, help="a run folder")
    predict.add_argument("input", nargs="?", default="-", help="a text file, or - for stdin")
    predict.add_argument("-o", "--output", default="-", help="a file, or - for stdout")
    predict.add_argument(
        "--format",
        choices=("text", "tsv", "jsonl"),
        default="text",
        help="text: predictions; tsv: source, prediction, score; jsonl: the same by name",
    )
    predict.add_argument("--batch-size", type=int, default=64, help="sentences at once")
    predict.add_argument("--debug", action="store_true", help="show the stack trace of an error")
    predict.set_defaults(run=predict_texts)
    return top


def list_recipes(options: argparse.Namespace) -> int:
    """Prints each recipe's name and its comment's description."""
    from seq2seq.config import recipe_files

    files = recipe_files()
    width = max(map(len, files), default=0)
    for name, path in files.items():
        comments = [
            line.removeprefix("#").strip()
            for line in path.read_text(encoding="utf-8").splitlines()
            if line.startswith("#")
        ]
        description = next((line for line in comments if not line.startswith("seq2seq ")), "")
        print(f"{name:<{width}}  {description}")
    return 0


def train(arguments: list[str], debug: bool) -> int:
    """Runs `seq2seq train`: once, or once for each combination of a sweep."""
    if not arguments or {"-h", "--help"} & set(arguments):
        print(TRAIN_HELP, end="")
        return 0 if arguments else 2
    start_tensorflow()
    from seq2seq.launch import launch

    return launch(arguments, debug)


def evaluate_run(options: argparse.Namespace) -> int:
    """Runs `seq2seq evaluate`."""
    start_tensorflow()
    from seq2seq.inference.evaluation import evaluate

    evaluate(options.model, options.split, options.source, options.target, options.output)
    return 0


def predict_texts(options: argparse.Namespace) -> int:
    """Runs `seq2seq predict`."""
    start_tensorflow()
    from seq2seq.inference.files import predict_file

    predict_file(options.model, options.input, options.output, options.format, options.batch_size)
    return 0


def start_tensorflow() -> None:
    """Imports TensorFlow, silently: its C++ code writes lines before it can be told not to."""
    kept = os.dup(2)
    nowhere = os.open(os.devnull, os.O_WRONLY)
    sys.stderr.flush()
    os.dup2(nowhere, 2)
    try:
        import tensorflow  # noqa: F401
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(nowhere)
