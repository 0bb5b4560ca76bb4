"""Inputs that are typed at a terminal, and how it shows tags."""

import io
import os
import pty
import sys
import threading
from contextlib import nullcontext
from pathlib import Path

import pytest

from seq2seq.inference import predict
from seq2seq.inference.output_files import in_columns
from seq2seq.progress import set_verbosity
from seq2seq.request import PredictionRequest

END = b"\x04"


@pytest.fixture
def terminal(monkeypatch):
    """A terminal that is stdin; yields the descriptor to type with."""
    ours, theirs = pty.openpty()
    with open(theirs, encoding="utf-8") as stdin:
        monkeypatch.setattr(sys, "stdin", stdin)
        monkeypatch.setattr(predict, "input_path", lambda source: Path(os.ttyname(theirs)))
        yield ours
    os.close(ours)


def test_each_line_is_answered_before_the_next(terminal, run_folder, monkeypatch, capsys):
    lines, answers = [b"8 May 2031\n", END], []

    class Stream(io.StringIO):
        def write(self, text):
            answers.append(text)
            return os.write(terminal, lines.pop(0))

    monkeypatch.setattr(predict, "output", lambda target: nullcontext(Stream()))
    set_verbosity()
    os.write(terminal, b"7 May 2031\n")
    end = threading.Timer(60, os.write, (terminal, END))  # the test must not wait forever
    end.start()
    predict.predict_file([run_folder], "-", "-", PredictionRequest())
    end.cancel()
    assert len(answers) == 2
    assert not lines
    captured = capsys.readouterr()
    assert "reading from the terminal: one input a line, Ctrl-D ends\n" in captured.err
    assert captured.out == ""


def test_tags_are_in_columns():
    row = {"tokens": ["7", "জুন", "2031", "\x1b\n"], "labels": ["DAY", "MONTH", "YEAR", "X"]}
    assert in_columns(row) == "7     DAY\nজুন    MONTH\n2031  YEAR\n\x1b      X\n"
    assert in_columns({"tokens": [], "labels": []}) == ""
