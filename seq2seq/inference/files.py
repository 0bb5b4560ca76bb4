"""`seq2seq predict`: a file or stdin in, a file or stdout out."""

import json
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal, TextIO

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
        output_format: `text` writes predictions, `tsv` and `jsonl` also source and score.
        batch_size: How many lines are predicted at once.

    Raises:
        UserError: If the model or the input cannot be used.
    """
    if batch_size < 1:
        raise UserError(f"--batch-size: must be at least 1, got {batch_size}")
    lines = input_texts(source)
    predictor = Predictor.load(run_folder)
    write = WRITERS[output_format]
    with output(target) as stream:
        for chunk in _chunks(lines, CHUNK * batch_size):
            for row in predictor(chunk, batch_size):
                stream.write(write(row) + "\n")
            stream.flush()


def _chunks(lines: Iterator[str], size: int) -> Iterator[list[str]]:
    chunk: list[str] = []
    for line in lines:
        chunk.append(line)
        if len(chunk) == size:
            yield chunk
            chunk = []
    if chunk:
        yield chunk


def input_texts(source: str) -> Iterator[str]:
    """Yields the texts of a file or of stdin.

    Raises:
        UserError: If it is missing, not UTF-8, or a line is not as its format says.
    """
    if source == "-":
        return read_lines(Path("/dev/stdin"))
    path = Path(source)
    if not path.is_file():
        raise UserError(f"{path}: no such file")
    lines = read_lines(path)
    ending = path.name.removesuffix(".gz").rpartition(".")[2]
    if ending == "tsv":
        return (line.split("\t")[0] for line in lines)
    if ending == "jsonl":
        return (_source(line, f"{path}:{number}") for number, line in enumerate(lines, start=1))
    return lines


def _source(line: str, place: str) -> str:
    try:
        record = json.loads(line)
    except ValueError as error:
        raise UserError(f"{place}: not a JSON object ({error})") from error
    if not isinstance(record, dict) or not isinstance(record.get("source"), str):
        raise UserError(f"{place}: has no text under the key 'source'")
    return record["source"]


@contextmanager
def output(target: str) -> Iterator[TextIO]:
    """Opens stdout, or a file that appears only when it is whole."""
    if target == "-":
        sys.stdout.reconfigure(encoding="utf-8")  # type: ignore[union-attr]
        yield sys.stdout
        return
    path = Path(target)
    aside = path.with_name(f"aside-{os.getpid()}-{path.name}")
    try:
        with open(aside, "w", encoding="utf-8", newline="\n") as stream:
            yield stream
        aside.replace(path)
    except OSError as error:
        raise UserError(f"{path}: cannot be written ({error})") from error
    finally:
        aside.unlink(missing_ok=True)


def _as_tsv(row: Row) -> str:
    texts = (str(row[name]).replace("\t", " ") for name in ("source", "prediction"))
    return "\t".join([*texts, f"{row['score']:.6f}"])


WRITERS: dict[str, Callable[[Row], str]] = {
    "text": lambda row: str(row["prediction"]),
    "tsv": _as_tsv,
    "jsonl": lambda row: json.dumps(row, ensure_ascii=False),
}
