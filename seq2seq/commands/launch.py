"""`seq2seq launch`: starts the workers of a distributed training on this machine."""

import argparse

from seq2seq.errors import UserError

EXAMPLES = """\
  seq2seq launch --workers 2 -- train translation/cldr_dates
  seq2seq launch --workers 2 -- train translation/cldr_dates distribute.shards=4
  seq2seq launch --workers 2 -- train resume=runs/dates

Each worker is a process with its share of the processors, or a GPU of its own. The first one
(the chief) writes the run folder and to the terminal. If one fails, all end.
"""


def configure(parser: argparse.ArgumentParser) -> None:
    """Adds the arguments."""
    parser.plain = True  # type: ignore[attr-defined]  # what follows `--` is not for this parser
    parser.usage = "seq2seq launch --workers N -- train ..."
    parser.add_argument("--workers", metavar="N", type=int, required=True, help="how many to start")
    parser.add_argument(
        "arguments",
        nargs=argparse.REMAINDER,
        metavar="-- train ...",
        help="the command, with its arguments; distribute=multi_worker is added",
    )


def run(options: argparse.Namespace) -> int:
    """Runs the workers."""
    from seq2seq.worker_processes import WorkerProcesses

    arguments: list[str] = options.arguments[options.arguments[:1] == ["--"] :]
    if options.workers < 1:
        raise UserError(f"--workers {options.workers}: must be at least 1")
    if arguments[:1] != ["train"]:
        raise UserError("launch: starts `train` only: seq2seq launch --workers 2 -- train ...")
    if refused := {"-m", "--multirun", "-c", "--cfg"}.intersection(arguments):
        raise UserError(
            f"launch: cannot start `train {min(refused)}`; the trials of a sweep run side by side "
            "with sweep.at_once=N"
        )
    flags = ["-q"] * options.quiet + ["-v"] * options.verbose + ["--debug"] * options.debug
    return WorkerProcesses([*distributed(arguments), *flags], options.workers).run()


def distributed(arguments: list[str]) -> list[str]:
    """Adds `distribute=multi_worker`, unless the arguments or a saved config say it."""
    is_named = any(
        each.startswith("distribute=")
        or (
            each.startswith("resume=")
            and each not in ("resume=auto", "resume=must", "resume=never")
        )
        for each in arguments
    )
    return arguments if is_named else [*arguments, "distribute=multi_worker"]
