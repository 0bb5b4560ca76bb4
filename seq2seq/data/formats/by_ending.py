"""Chooses the format of a single file by its ending."""

from collections.abc import Sequence
from pathlib import Path

from seq2seq.data.dataset import Dataset
from seq2seq.data.formats.json_lines import LabelledJsonl
from seq2seq.data.formats.tables import Csv, Tsv
from seq2seq.errors import UserError


def ending_of(path: Path) -> str:
    """Returns the ending of a file's name without the dot, that of `.gz` left out."""
    return path.name.removesuffix(".gz").rpartition(".")[2]


def labelled_file(path: Path, split: str, fields: Sequence[str]) -> Dataset:
    """Returns one file as a split: CSV with a header, JSONL, or TSV with the fields in order.

    Raises:
        UserError: If the ending is another.
    """
    files = {split: str(path.absolute())}
    match ending_of(path):
        case "csv":
            return Csv(".", files, {field: field for field in fields})
        case "jsonl":
            return LabelledJsonl(".", files, {field: field for field in fields})
        case "tsv":
            return Tsv(".", files, {field: number for number, field in enumerate(fields)})
    raise UserError(
        f"{path}: must end in .csv, .jsonl or .tsv, so that its {', '.join(fields)} can be found."
    )
