"""Records to predict from, for tasks that read more than one text."""

from collections.abc import Iterator, Sequence
from pathlib import Path

from seq2seq.data.formats.json_lines import read_objects
from seq2seq.data.formats.tables import Csv
from seq2seq.data.formats.text_files import read_lines
from seq2seq.data.records import PlacedRecord
from seq2seq.errors import UserError


def read_records(path: Path, fields: Sequence[str]) -> Iterator[PlacedRecord]:
    """Yields the records of a file, whose format its ending tells.

    - `.jsonl`: objects with the fields as keys;
    - `.csv`: a table whose header has the fields;
    - `.tsv`: the fields in the first columns, in order;
    - any other: the text of each line; where there are several fields, as `.tsv`.

    Args:
        path: The file; gzip works.
        fields: The fields that are needed.

    Raises:
        UserError: If the file cannot be read, or a line lacks a field.
    """
    ending = path.name.removesuffix(".gz").rpartition(".")[2]
    if ending == "jsonl":
        return _objects(path, fields)
    if ending == "csv":
        table = Csv(str(path.parent), {"test": path.name}, {field: field for field in fields})
        return (PlacedRecord(record, record.place) for record in table.read_file(path))
    return _columns(path, fields, whole_line=ending != "tsv" and len(fields) == 1)


def _objects(path: Path, fields: Sequence[str]) -> Iterator[PlacedRecord]:
    for place, values in read_objects(path):
        missing = [field for field in fields if field not in values]
        if missing:
            raise UserError(
                f"{place}: there is no key {missing[0]!r}; there are "
                f"{', '.join(map(repr, values)) or 'none'}."
            )
        yield PlacedRecord({field: values[field] for field in fields}, place)


def _columns(path: Path, fields: Sequence[str], whole_line: bool) -> Iterator[PlacedRecord]:
    for number, line in enumerate(read_lines(path), start=1):
        values = [line] if whole_line else line.split("\t")
        place = f"{path}:{number}"
        if len(values) < len(fields):
            raise UserError(
                f"{place}: {len(values)} column(s), but the model reads {', '.join(fields)}; "
                "put a tab between two."
            )
        yield PlacedRecord(dict(zip(fields, values, strict=False)), place)
