"""`seq2seq predict`: a file or stdin in, a file or stdout out."""

import json
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal, TextIO

from seq2seq.data.chunks import chunks
from seq2seq.data.json_lines import read_objects, text_at
from seq2seq.data.text_files import read_lines
from seq2seq.errors import UserError
from seq2seq.inference.predictor import Predictor
from seq2seq.tasks.base import Row

Format = Literal["text", "tsv", "jsonl"]

CHUNK = 64
"""Batches read before they are predicted: sorted by length together, answered in order."""


def predict_file(
    run_folder: Path, source: str, target: str, output_format: Format, batch_size: int
) -> None:
    """Predicts line by line.

    Args:
        run_folder: A run folder.
        source: A text file (gzip works), TSV (first column) or JSONL (key `source`), told by its
            ending; `-` reads plain lines from stdin.
        target: A file, or `-` for stdout.
        output_format: `text` writes predictions, `tsv` and `jsonl` also source and score. In
            `text` and `tsv`, line breaks and tabs inside a text become spaces.
        batch_size: How many lines are predicted at once.

    Raises:
        UserError: If the model or the input cannot be used.
    """
    if batch_size < 1:
        raise UserError(f"--batch-size: must be at least 1, got {batch_size}")
    lines = input_texts(source)
    write = WRITERS[output_format]
    with output(target) as stream:
        predictor = Predictor.load(run_folder)
        for chunk in chunks(lines, CHUNK * batch_size):
            for row in predictor(chunk, batch_size):
                stream.write(write(row) + "\n")
            stream.flush()


def input_texts(source: str) -> Iterator[str]:
    """Yields the texts of a file or of stdin.

    Raises:
        UserError: If it is missing, not UTF-8, or a line is not as its format says.
    """
    if source == "-":
        return read_lines(Path("/dev/stdin"))
    path = Path(source)
    check_readable(path)
    ending = path.name.removesuffix(".gz").rpartition(".")[2]
    if ending == "tsv":
        return (line.split("\t")[0] for line in read_lines(path))
    if ending == "jsonl":
        return (
            text_at(values, "source", place, wanted_by="the text to predict from")
            for place, values in read_objects(path)
        )
    return read_lines(path)


def check_readable(path: Path, option: str = "") -> None:
    """Refuses what is no file, before any work is done; pipes and devices are files.

    Args:
        path: What the user has given.
        option: The option it was given by.

    Raises:
        UserError: If it is missing or a folder.
    """
    named = f"{option} {path}".strip()
    if path.is_dir():
        raise UserError(f"{named}: is a folder; give a file")
    if not path.exists():
        raise UserError(f"{named}: no such file")


@contextmanager
def output(target: str) -> Iterator[TextIO]:
    """Opens stdout, a pipe or device, or a file that appears only when it is whole.

    Raises:
        UserError: If it cannot be written.
    """
    if target == "-":
        sys.stdout.reconfigure(encoding="utf-8")  # type: ignore[union-attr]
        yield sys.stdout
        return
    path = Path(target)
    if path.is_dir():
        raise UserError(f"{target}: is a folder; give a file to write")
    if path.exists() and not path.is_file():
        with path.open("w", encoding="utf-8", newline="\n") as stream:
            yield stream
        return
    path = path.resolve()  # a link stays one
    if not path.parent.is_dir():
        raise UserError(f"{target}: there is no folder {path.parent} to write to; make it first")
    aside = path.with_name(f"aside-{os.getpid()}-{path.name}")
    try:
        with aside.open("w", encoding="utf-8", newline="\n") as stream:
            yield stream
        aside.replace(path)
    except OSError as error:
        raise UserError(f"{target}: cannot be written ({error})") from error
    finally:
        aside.unlink(missing_ok=True)


def _cell(text: str) -> str:
    """Returns the text without what would break its line or column."""
    return text.translate(_BREAKS)


_BREAKS = str.maketrans("\n\r\t", "   ")

WRITERS: dict[str, Callable[[Row], str]] = {
    "text": lambda row: _cell(row["prediction"]),
    "tsv": lambda row: "\t".join(
        [_cell(row["source"]), _cell(row["prediction"]), f"{row['score']:.6f}"]
    ),
    "jsonl": lambda row: json.dumps(row, ensure_ascii=False),
}
