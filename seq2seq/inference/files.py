"""`seq2seq predict`: a file or stdin in, a file or stdout out."""

import json
import os
import stat
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal, TextIO

from seq2seq.data.formats.json_lines import read_objects, text_at
from seq2seq.data.formats.text_files import read_lines
from seq2seq.data.records import PlacedRecord, chunks
from seq2seq.errors import UserError
from seq2seq.files import whole_file
from seq2seq.inference.predictor import Predictor
from seq2seq.inference.records import read_records
from seq2seq.plots.alignments import alignment_heatmap
from seq2seq.plots.files import save_figure
from seq2seq.tasks.base import Row
from seq2seq.tasks.phrases import FIELDS
from seq2seq.terminal import standard_output
from seq2seq.trust import Trust

Format = Literal["text", "tsv", "jsonl"]

CHUNK = 64
"""Batches read before they are predicted: sorted by length together, answered in order."""


def predict_file(
    run_folder: Path,
    source: str,
    target: str,
    output_format: Format | None = None,
    batch_size: int = 64,
    ensemble: Sequence[Path] = (),
    common: Mapping[str, Any] | None = None,
    pictures: Path | None = None,
    trust: Trust = (),
    **asked: Any,
) -> None:
    """Predicts line by line.

    Args:
        run_folder: A run folder.
        source: A text file (gzip works), TSV (first column) or JSONL (key `source`), told by its
            ending; `-` reads plain lines from stdin. Where the task has `input_fields`, see
            `read_records`.
        target: A file, or `-` for stdout.
        output_format: `text` writes predictions, `tsv` and `jsonl` also source and score, a line
            for each of several hypotheses in `tsv`, or the probability of each class in the order
            of their names, and what else was asked for in `jsonl`; None
            for what holds all that was asked for. In `text` and `tsv`, line breaks and tabs inside
            a text become spaces.
        batch_size: How many lines are predicted at once.
        ensemble: Further runs.
        common: Fields that every record gets, unless it has its own, such as `required`.
        pictures: A folder for a heat map of each prediction's alignment.
        trust: Modules and classes of one's own that the run's config may name.
        asked: What else `Predictor` is asked for, such as `n_best`.

    Raises:
        UserError: If the model or the input cannot be used.
    """
    if batch_size < 1:
        raise UserError(f"--batch-size: must be at least 1, got {batch_size}")
    write = WRITERS[_format_for(output_format, asked)]
    inputs = with_fields(input_texts(source), common or {})
    if pictures is not None:
        asked["alignments"] = True
    with output(target) as stream:
        predictor = Predictor.load(run_folder, *ensemble, trust=trust)
        if fields := predictor.task.input_fields:
            if common:
                raise UserError(f"--{next(iter(common))}: has no meaning for this run.")
            inputs = read_records(standing_for(source), fields)
        number = 0
        for chunk in chunks(inputs, CHUNK * batch_size):
            for row in predictor(chunk, batch_size, **asked):
                number += 1
                if pictures is not None and row["prediction"]:
                    save_figure(
                        alignment_heatmap(
                            row["alignments"], row["source_tokens"], row["target_tokens"]
                        ),
                        pictures / f"{number:06}.png",
                    )
                stream.write(write(row) + "\n")
            stream.flush()


def _format_for(given: Format | None, asked: Mapping[str, Any]) -> Format:
    """Returns a format that holds what was asked for."""
    holders: dict[str, tuple[Format, ...]] = {
        "n_best": ("jsonl", "tsv"),
        "alignments": ("jsonl",),
        "attention": ("jsonl",),
        "token_scores": ("jsonl",),
    }
    for name, formats in holders.items():
        if name in asked and given not in (None, *formats):
            option = name.replace("_", "-")
            raise UserError(
                f"--{option}: cannot be told with --format {given}; use {' or '.join(formats)}."
            )
    return given or ("jsonl" if set(holders) & set(asked) else "text")


def with_fields(inputs: Iterable[Any], common: Mapping[str, Any]) -> Iterator[Any]:
    """Yields inputs as records that have the common fields, too; their own stay."""
    for each in inputs:
        own = {"source": each} if isinstance(each, str) else each
        yield {**common, **own} if common else each


def input_texts(source: str) -> Iterator[Any]:
    """Yields the texts of a file or of stdin; records, where JSONL constrains them.

    Raises:
        UserError: If it is missing, not UTF-8, or a line is not as its format says.
    """
    path = standing_for(source)
    check_readable(path)
    ending = path.name.removesuffix(".gz").rpartition(".")[2]
    if ending == "tsv":
        return (line.split("\t")[0] for line in read_lines(path))
    if ending == "jsonl":
        return (_record(values, place) for place, values in read_objects(path))
    return read_lines(path)


def standing_for(source: str) -> Path:
    """Returns the path of an input, where `-` stands for stdin."""
    return Path("/dev/stdin" if source == "-" else source)


def _record(values: Mapping[str, Any], place: str) -> str | dict[str, Any]:
    """Returns the source of a JSON object, or more of it where it constrains its prediction.

    An object of `tokens` is a sentence to be labelled.
    """
    if "tokens" in values:
        return PlacedRecord(values, place)
    text = text_at(values, "source", place, required_by="the text to predict from")
    fields = {field: values[field] for field in FIELDS if field in values}
    return {"source": text, "place": place, **fields} if fields else text


def check_readable(path: Path, option: str = "") -> None:
    """Refuses what is no file, before any work is done; pipes and terminals are files.

    Args:
        path: What the user has given.
        option: The option it was given by.

    Raises:
        UserError: If it is missing, a folder, or a device that has no end.
    """
    named = f"{option} {path}".strip()
    try:
        mode = path.stat().st_mode
        has_end = not stat.S_ISCHR(mode) or path.samefile(os.devnull) or _is_terminal(path)
    except (OSError, ValueError) as error:
        known = isinstance(error, FileNotFoundError)
        raise UserError(f"{named}: {'no such file' if known else error}") from None
    if stat.S_ISDIR(mode):
        raise UserError(f"{named}: is a folder; give a file")
    if stat.S_ISBLK(mode) or not has_end:
        raise UserError(f"{named}: is a device; give a file")


def _is_terminal(path: Path) -> bool:
    with path.open("rb", buffering=0) as file:
        return file.isatty()


@contextmanager
def output(target: str) -> Iterator[TextIO]:
    """Opens stdout, a pipe or device, or a file that appears only when it is whole.

    Raises:
        UserError: If it cannot be written.
    """
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
    path = path.resolve()  # a link stays one
    if not path.parent.is_dir():
        raise UserError(f"{target}: there is no folder {path.parent} to write to; make it first")
    try:
        with whole_file(path) as aside, aside.open("w", encoding="utf-8", newline="\n") as stream:
            yield stream
    except OSError as error:
        raise UserError(f"{target}: cannot be written ({error})") from error


def one_cell(text: str) -> str:
    """Returns the text without what would break its line or column."""
    return text.translate(_BREAKS)


_BREAKS = str.maketrans("\n\r\t", "   ")

WRITERS: dict[str, Callable[[Row], str]] = {
    "text": lambda row: one_cell(row["prediction"]),
    "tsv": lambda row: "\n".join(
        "\t".join(
            [
                one_cell(row["source"]),
                one_cell(each["prediction"]),
                f"{each['score']:.6f}",
                *(f"{p:.6f}" for p in each.get("probabilities", {}).values()),
            ]
        )
        for each in row.get("hypotheses", [row])
    ),
    "jsonl": lambda row: json.dumps(row, ensure_ascii=False),
}
