import io
import logging
import os
import pty
import subprocess
import sys
import unicodedata

import pytest
from rich.table import Table

from seq2seq.terminal import PlainConsole, PlainFormatter, PrintableStream, plain, printable

ATTACKS = [
    "\x1b[2J",
    "\x1b]0;title\x07",
    "\x9b31m",
    "\r overwritten",
    "\x08\x08",
    "\u202egnp.exe",
    "\x00",
    "\ud800",
    "\u2028",
    "\x7f",
]


@pytest.mark.parametrize("attack", ATTACKS)
def test_no_control_character_is_left(attack):
    text = printable(f"a{attack}b")
    assert not [c for c in text if unicodedata.category(c) in ("Cc", "Cs", "Zl", "Zp")]
    assert "\u202e" not in text
    assert text.startswith("a")
    assert text.endswith("b")
    text.encode()


@pytest.mark.parametrize("text", ["plain", "néant\n\tनमस्ते", "می‌خواهم", "👩‍👩‍👧", "日本語"])
def test_all_else_stays(text):
    assert printable(text) == text


@pytest.mark.parametrize("attack", ATTACKS)
def test_consoles_print_it_written_out_but_keep_their_own_colours(attack):
    file = io.StringIO()
    console = PlainConsole(file=file, force_terminal=True, color_system="standard", width=60)
    table = Table("head")
    table.add_row(plain(attack, "red"))
    console.print(table)
    console.print(f"x{attack}", markup=False, highlight=False)
    printed = file.getvalue()
    assert "\x1b[31m" in printed  # red
    assert printable(attack) in printed
    assert attack not in printed


def test_log_lines_are_written_out():
    record = logging.LogRecord("x", 20, "", 0, "label %s", ("\x1b[2J",), None)
    assert PlainFormatter("%(message)s").format(record) == "label \\x1b[2J"


def test_streams_to_a_terminal_are_written_out():
    terminal = io.StringIO()
    print("a\x1b[2J", file=PrintableStream(terminal), flush=True)
    assert terminal.getvalue() == "a\\x1b[2J\n"


def test_a_pipe_gets_what_was_predicted_and_a_terminal_what_is_printable():
    code = "from seq2seq.terminal import standard_output as s; print('a\\x1b[2J', file=s())"
    piped = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True).stdout
    assert piped == b"a\x1b[2J\n"
    ours, theirs = pty.openpty()
    subprocess.run([sys.executable, "-c", code], stdout=theirs, check=True)
    os.close(theirs)
    assert os.read(ours, 100) == b"a\\x1b[2J\r\n"


def test_errors_of_the_command_line_are_written_out(tmp_path):
    code = "from seq2seq.cli import main; main(['recipes', 'x\\x1b[2J'])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=False)
    assert done.returncode == 2
    assert b"\x1b" not in done.stderr
    name = "gone\x1b[2J"
    code = f"from seq2seq.cli import main; main(['predict', {name!r}])"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, check=False, stdin=subprocess.DEVNULL
    )
    assert done.returncode == 2
    assert b"\x1b" not in done.stderr
    assert b"gone\\x1b[2J" in done.stderr
