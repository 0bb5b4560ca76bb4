"""The command reference: the help of each command, as the command itself prints it."""

import contextlib
import io
import os

from seq2seq.cli import COMMANDS, main


def command_reference() -> str:
    """Returns a section for each command."""
    return "\n".join(
        f"## {name}\n\n{summary[0].upper()}{summary[1:]}.\n\n```text\n{_help_of(name)}```\n"
        for name, summary in COMMANDS.items()
    )


def _help_of(command: str) -> str:
    columns = os.environ.get("COLUMNS")
    os.environ["COLUMNS"] = "88"
    try:
        with contextlib.redirect_stdout(io.StringIO()) as output, contextlib.suppress(SystemExit):
            main([command, "--help"])
    finally:
        os.environ.pop("COLUMNS") if columns is None else os.environ.update(COLUMNS=columns)
    return output.getvalue()
