"""The command `seq2seq`; TensorFlow is imported only when a command needs it."""

import argparse
import codecs
import io
import locale
import logging
import os
import sys
from collections.abc import Sequence
from importlib import import_module
from typing import Any, NoReturn

from seq2seq.errors import USER_ERROR, UserError, exit_code_of
from seq2seq.version import version

DESCRIPTION = "Train, compare and use recurrent sequence models (LSTM, GRU)."

EPILOG = """\
examples:
  seq2seq recipes
  seq2seq train translation/cldr_dates trainer.epochs=1
  seq2seq help train

exit codes:
  0    done
  1    the score of `evaluate --gate` was not met, or an unexpected error
  2    an error that the user can correct; the message says how
  75   a training has reached trainer.stop_after_minutes, or lost a worker; start it again
  130  stopped by Ctrl-C; 129 and 143 by SIGHUP and SIGTERM
"""

COMMANDS = {
    "recipes": "list the recipes",
    "download": "download the data of a recipe",
    "check": "report on the data of a recipe before training",
    "rate": "find a learning rate for a recipe by one short training",
    "batch": "find a batch size for a recipe by some training steps with each",
    "train": "train, evaluate and track a run, or a sweep of runs",
    "launch": "train with several processes of this machine",
    "evaluate": "score a run on its test split or on files",
    "predict": "predict with a run for each input of a file or of stdin",
    "distill": "write a translation run's own translations of its training data, to train on",
    "augment": "add back-translated texts to the training data of a translation run",
    "inspect": "write states and gates of a run at each step as arrays and figures",
    "score": "compute log-probabilities of given targets",
    "runs": "list runs with their scores, newest first",
    "compare": "compare runs: config, scores, significance",
    "register": "register a run's model in MLflow",
    "sync": "send to MLflow what it did not get of a run",
    "compress": "copy a run with weights of half the bits: smaller, and faster for single texts",
    "export": "write a run as files for ONNX Runtime, LiteRT, OpenVINO, TensorFlow or Keras",
    "generate": "continue texts with a language model, printed as they are generated",
    "serve": "serve runs over HTTP, with batches of many clients' requests",
    "completion": "print a script that completes commands in bash, zsh or fish",
    "doctor": "report on this machine: packages, processor, kernels, disk, data, MLflow",
}
"""The help of each command; the command is the module of that name in `seq2seq.commands`."""


def main(arguments: Sequence[str] | None = None) -> None:
    """Runs one command; exits with code 2 and a message after a `UserError`."""
    if arguments is None:
        _use_utf8()
    if "_ARGCOMPLETE" in os.environ:  # a shell asks for completions
        complete()
    arguments = list(sys.argv[1:] if arguments is None else arguments)
    if arguments[:1] == ["help"]:
        arguments = [*arguments[1:2], "--help"]
    debug = "--debug" in arguments
    try:
        _check_command(arguments)
        options = parser().parse_args(arguments)
        _set_verbosity(options)
        sys.exit(options.run(options))
    except UserError as error:
        if debug:
            raise
        from seq2seq.terminal import printable

        print(printable(f"seq2seq: error: {error}"), file=sys.stderr)
        sys.exit(USER_ERROR)
    except KeyboardInterrupt as stop:
        if debug:
            raise
        print("seq2seq: stopped", file=sys.stderr)
        sys.exit(exit_code_of(stop))
    except BrokenPipeError:  # the reader of the output has closed the pipe
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)


def _check_command(arguments: Sequence[str]) -> None:
    """Refuses an unknown command with the nearest one, instead of a list of all."""
    name = arguments[0] if arguments else "--help"
    if not name.startswith("-") and name not in COMMANDS:
        from seq2seq.nearest_name import nearest

        raise UserError(
            f"{name}: no such command{nearest(name, COMMANDS)}. `seq2seq help` lists them."
        )


def complete() -> None:
    """Answers a shell that asks what may follow, and ends the process."""
    import argcomplete

    Parser.intermixing = True  # argcomplete parses once, and looks at each step
    argcomplete.autocomplete(parser(), always_complete_options=False)


def _set_verbosity(options: argparse.Namespace) -> None:
    from seq2seq.progress import set_verbosity

    level = logging.DEBUG if options.verbose else logging.INFO
    set_verbosity(logging.WARNING if options.quiet else level)


def _use_utf8() -> None:
    """Makes arguments, standard streams and files UTF-8, also those of other libraries.

    Restarts Python in UTF-8 mode if the locale has another encoding.
    """
    if codecs.lookup(locale.getpreferredencoding(False)).name != "utf-8":
        os.execv(sys.executable, [sys.executable, "-X", "utf8", *sys.orig_argv[1:]])
    for stream in (sys.stdin, sys.stdout, sys.stderr):  # PYTHONIOENCODING may say otherwise
        if isinstance(stream, io.TextIOWrapper) and codecs.lookup(stream.encoding).name != "utf-8":
            stream.reconfigure(encoding="utf-8")


class Parser(argparse.ArgumentParser):
    """An argument parser that reports errors in the same form as `main`.

    Attributes:
        plain: Whether all that follows the first positional argument belongs to it.
    """

    plain = intermixing = False

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:
        """Parses options before, between and after positional arguments."""
        if self.plain or self.intermixing or self._subparsers is not None:
            return super().parse_known_args(args, namespace)
        self.intermixing = True
        try:
            return self.parse_known_intermixed_args(args, namespace)
        finally:
            self.intermixing = False

    def error(self, message: str) -> NoReturn:
        """Prints the message and exits with code 2."""
        from seq2seq.terminal import printable

        text = f"{self.prog}: error: {message}. `{self.prog} --help` shows the usage.\n"
        self.exit(2, printable(text))


def parser() -> argparse.ArgumentParser:
    """Returns the parser for all commands."""
    layout = argparse.RawDescriptionHelpFormatter
    top = Parser(prog="seq2seq", description=DESCRIPTION, epilog=EPILOG, formatter_class=layout)
    top.add_argument("--version", action="version", version=f"seq2seq {version()}")
    commands = top.add_subparsers(title="commands", required=True, metavar="COMMAND")
    for name, summary in COMMANDS.items():
        module = import_module(f"seq2seq.commands.{name}")
        command = commands.add_parser(
            name,
            help=summary,
            description=f"{summary[0].upper()}{summary[1:]}.",
            epilog=f"examples:\n{module.EXAMPLES}",
            formatter_class=layout,
        )
        module.configure(command)
        _add_message_options(command)
        command.set_defaults(run=module.run)
    shown = commands.add_parser("help", help="show the help of a command")
    shown.add_argument("command", nargs="?", choices=(*COMMANDS,))
    return top


def _add_message_options(command: argparse.ArgumentParser) -> None:
    """Adds the options that all commands have."""
    messages = command.add_argument_group("messages")
    group = messages.add_mutually_exclusive_group()
    group.add_argument(
        "-q", "--quiet", action="store_true", help="print results, warnings and errors only"
    )
    group.add_argument("-v", "--verbose", action="store_true", help="print debug messages, too")
    messages.add_argument(
        "--debug", action="store_true", help="show the stack trace of an error, too"
    )
