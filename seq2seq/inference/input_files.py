"""Reads the inputs of predictions; a file's ending and the task decide its format."""

import logging
import os
import stat
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from seq2seq.data.formats.by_ending import ending_of
from seq2seq.data.formats.conll import ColumnError, ColumnFormat, Sentence, is_conll, layout_of
from seq2seq.data.formats.json_lines import read_objects, text_at
from seq2seq.data.formats.series import read_history
from seq2seq.data.formats.tables import Csv
from seq2seq.data.formats.text_files import read_lines, read_lines_with_ends
from seq2seq.data.records import PlacedRecord
from seq2seq.errors import UserError
from seq2seq.tasks.base import Task
from seq2seq.tasks.forecasting import Forecasting
from seq2seq.tasks.tagging import Tagging
from seq2seq.tasks.translation.constraints import FIELDS

log = logging.getLogger(__name__)


class Input(NamedTuple):
    """An input of a prediction: a text or a record, and its lines if it was read from CoNLL."""

    value: Any
    sentence: Sentence | None = None


def input_path(source: str) -> Path:
    """Returns the path of an input, `-` for stdin, after `check_readable`."""
    path = Path("/dev/stdin" if source == "-" else source)
    check_readable(path)
    return path


def announce_terminal(source: str) -> bool:
    """Returns whether an input is typed at a terminal, and then says how to end it."""
    is_typed = source == "-" and sys.stdin.isatty()
    if is_typed:
        log.info("reading from the terminal: one input a line, Ctrl-D ends")
    return is_typed


def read_inputs(path: Path, task: Task, columns: bool = False) -> Iterator[Input]:
    """Yields the inputs of a file, plain or gzip, for a task.

    - `.conll`, `.conllu`: sentences for a tagger;
    - `.jsonl`: objects with the task's fields, by default `source`, as keys; for translations also
      constraints, for taggers `tokens`;
    - `.csv`: a table whose header has the fields; `.tsv`: the fields in the first columns;
    - any other: one text a line; for tasks with several fields, the same as `.tsv`.

    For forecasts each series is an input, see `read_history`.

    Args:
        path: The file.
        task: The task.
        columns: Whether the file is CoNLL even if its ending is another.

    Raises:
        UserError: If the file cannot be read, or an input does not fit the task.
    """
    if isinstance(task, Forecasting):
        yield from map(Input, read_history(path, task.history_format()))
        return
    fields = task.input_fields
    ending = ending_of(path)
    if columns or is_conll(path.name):
        yield from _sentences(path, tagging_task(task, path))
    elif ending == "jsonl":
        for place, values in read_objects(path):
            yield Input(_fields_of(values, fields, place) if fields else _source_of(values, place))
    elif ending == "csv" and fields:
        table = Csv(str(path.parent), {"test": path.name}, _columns_of(path, task))
        yield from map(Input, table.read_file(path))
    elif fields:
        yield from map(Input, tab_separated(path, fields, split_single=ending == "tsv"))
    else:
        lines = read_lines(path)
        yield from (Input(line.split("\t")[0] if ending == "tsv" else line) for line in lines)


def _columns_of(path: Path, task: Task) -> dict[str, str]:
    """Returns the column of each field in a table: of the field's name, or as in training."""
    header = Csv(str(path.parent), {"test": path.name}, {}).column_names(path)
    columns = {
        field: field if field in header else task.input_columns.get(field, field)
        for field in task.input_fields
    }
    for column in columns.values():
        if column not in header:
            raise UserError(
                f"{path}:1: there is no column {column!r}, which the model reads; there are "
                f"{', '.join(header)}. Rename the column."
            )
    return columns


def layout_for(task: Tagging, path: Path) -> ColumnFormat:
    """Returns the layout of a CoNLL file for a run."""
    return layout_of(path.name, task.format)


def tagging_task(task: Task, path: Path) -> Tagging:
    """Returns the task if it can label a CoNLL file, or raises UserError."""
    if not isinstance(task, Tagging):
        raise UserError(f"{path}: {type(task).__name__} runs do not read CoNLL files.")
    return task


def with_fields(inputs: Iterable[Input], fields: Mapping[str, Any]) -> Iterator[Input]:
    """Adds fields, such as `required`, to inputs that do not have them."""
    for item in inputs:
        own = {"source": item.value} if isinstance(item.value, str) else item.value
        yield item._replace(value={**fields, **own}) if fields else item


def _sentences(path: Path, task: Tagging) -> Iterator[Input]:
    layout = layout_for(task, path)
    fields = ["tokens", *task.tokenizer.settings["columns"]]
    for sentence in layout.sentences(read_lines_with_ends(path)):
        for field in fields:
            if field not in layout.columns:
                raise UserError(
                    f"{path}: the model reads {field}, but their column is not known; give JSONL."
                )
        try:
            values = layout.values(sentence, fields)
        except ColumnError as error:
            raise UserError(f"{path}:{error.line}: {error}.") from error
        yield Input(PlacedRecord(values, f"{path}:{sentence.line}"), sentence)


def _source_of(values: Mapping[str, Any], place: str) -> str | dict[str, Any]:
    """Returns the source of a JSON object, with the constraints of its translation."""
    if "tokens" in values:
        return PlacedRecord(values, place)
    text = text_at(values, "source", place, required_by="the text to predict from")
    constraints = {field: values[field] for field in FIELDS if field in values}
    return {"source": text, "place": place, **constraints} if constraints else text


def _fields_of(values: Mapping[str, Any], fields: Sequence[str], place: str) -> PlacedRecord:
    missing = [field for field in fields if field not in values]
    if missing:
        raise UserError(
            f"{place}: there is no key {missing[0]!r}; there are "
            f"{', '.join(map(repr, values)) or 'none'}."
        )
    return PlacedRecord({field: values[field] for field in fields}, place)


def tab_separated(
    path: Path, fields: Sequence[str], split_single: bool = True
) -> Iterator[PlacedRecord]:
    """Yields records whose fields are the first columns of each line.

    Args:
        path: The file.
        fields: The fields, in order.
        split_single: Whether a single field is the first column, not the complete line.

    Raises:
        UserError: If the file cannot be read, or a line has too few columns.
    """
    for number, line in enumerate(read_lines(path), start=1):
        values = line.split("\t") if split_single or len(fields) > 1 else [line]
        place = f"{path}:{number}"
        if len(values) < len(fields):
            raise UserError(
                f"{place}: {len(values)} column(s), but {len(fields)} are needed: "
                f"{', '.join(fields)}, separated by tabs."
            )
        yield PlacedRecord(dict(zip(fields, values, strict=False)), place)


def check_readable(path: Path, option: str = "") -> None:
    """Raises UserError if a path is missing, a folder, or a device without end.

    Args:
        path: The path.
        option: The command-line option that named it, for the message.
    """
    name = f"{option} {path}".strip()
    try:
        mode = path.stat().st_mode
        has_end = not stat.S_ISCHR(mode) or path.samefile(os.devnull) or _is_terminal(path)
    except (OSError, ValueError) as error:
        missing = isinstance(error, FileNotFoundError)
        raise UserError(f"{name}: {'no such file' if missing else error}") from None
    if stat.S_ISDIR(mode):
        raise UserError(f"{name}: is a folder; give a file")
    if stat.S_ISBLK(mode) or not has_end:
        raise UserError(f"{name}: is a device; give a file")


def _is_terminal(path: Path) -> bool:
    with path.open("rb", buffering=0) as file:
        return file.isatty()
