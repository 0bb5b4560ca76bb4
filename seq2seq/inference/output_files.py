"""Writes predictions as text, TSV or JSONL."""

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal, TextIO

from rich.cells import cell_len

from seq2seq.errors import UserError
from seq2seq.files import atomic_file
from seq2seq.terminal import standard_output

Format = Literal["text", "tsv", "jsonl"]

_BREAKS = str.maketrans("\n\r\t", "   ")


@contextmanager
def output(target: str) -> Iterator[TextIO]:
    """Opens stdout (`-`), a pipe or device, or a file that appears only when it is complete."""
    if target == "-":
        yield standard_output()
        return
    path = Path(target)
    if path.is_dir():
        raise UserError(f"{target}: is a folder; give a file to write")
    if path.exists() and not path.is_file():
        with path.open("w", encoding="utf-8", newline="\n") as stream:
            yield stream
        return
    path = path.resolve()  # writes to the file behind a link
    if not path.parent.is_dir():
        raise UserError(f"{target}: there is no folder {path.parent} to write to; make it first")
    try:
        with (
            atomic_file(path) as temporary,
            temporary.open("w", encoding="utf-8", newline="\n") as stream,
        ):
            yield stream
    except OSError as error:
        raise UserError(f"{target}: cannot be written ({error})") from error


def one_cell(text: str) -> str:
    """Replaces line breaks and tabs by spaces, so that a text fits a line or column."""
    return text.translate(_BREAKS)


def _tsv(row: Mapping[str, Any]) -> str:
    """Returns one line for each hypothesis: source, prediction, score, probabilities."""
    lines = []
    for hypothesis in row.get("hypotheses", [row]):
        numbers = [hypothesis["score"], *hypothesis.get("probabilities", {}).values()]
        cells = [one_cell(row["source"]), one_cell(hypothesis["prediction"])]
        lines.append("\t".join([*cells, *(f"{number:.6f}" for number in numbers)]))
    return "\n".join(lines)


def in_columns(row: Mapping[str, Any]) -> str:
    """Returns a line for each token of a tagger's row: the token and its label in columns."""
    tokens = [one_cell(token) for token in row["tokens"]]
    width = max(map(cell_len, tokens), default=0) + 2
    return "".join(
        f"{token}{' ' * (width - cell_len(token))}{label}\n"
        for token, label in zip(tokens, row["labels"], strict=True)
    )


WRITERS: dict[str, Callable[[Mapping[str, Any]], str]] = {
    "text": lambda row: one_cell(row["prediction"]),
    "tsv": _tsv,
    "jsonl": lambda row: json.dumps(row, ensure_ascii=False),
}
"""For each format, the function that formats a prediction."""
