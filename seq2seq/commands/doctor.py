"""`seq2seq doctor`: reports on the machine."""

import argparse

EXAMPLES = """\
  seq2seq doctor
  SEQ2SEQ_DATA=/my/data MLFLOW_TRACKING_URI=http://localhost:5000 seq2seq doctor

each line is marked ok or warn, and a warning says what to do; the exit code is always 0;
if the kernels are compiled, a training step is timed beside one of Keras
"""


def configure(parser: argparse.ArgumentParser) -> None:
    """Adds no arguments."""


def run(options: argparse.Namespace) -> int:
    """Prints each finding as soon as it is known."""
    from rich.table import Table

    from seq2seq.doctor import examine
    from seq2seq.terminal import PlainConsole, plain

    console, warnings = PlainConsole(), 0
    for finding in examine():
        row = Table.grid(padding=(0, 1))
        row.add_column(width=4)
        row.add_column(width=11)
        row.add_column(overflow="fold")
        mark = plain("warn", "yellow") if finding.advice else plain("ok", "green")
        row.add_row(mark, plain(finding.subject), plain(finding.state))
        if finding.advice:
            row.add_row("", "", plain(f"-> {finding.advice}", "yellow"))
            warnings += 1
        console.print(row)
    console.print(plain(f"{warnings} warning(s)" if warnings else "all is well"))
    return 0
