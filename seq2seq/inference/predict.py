"""`seq2seq predict`: predicts for each input of a file."""

import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

from seq2seq.data.formats.conll import is_conll
from seq2seq.data.records import chunks
from seq2seq.errors import UserError
from seq2seq.inference.forecast import forecast_file, is_forecasting
from seq2seq.inference.input_files import (
    Input,
    announce_terminal,
    input_path,
    layout_for,
    read_inputs,
    tagging_task,
    with_fields,
)
from seq2seq.inference.output_files import WRITERS, Format, in_columns, output
from seq2seq.inference.predictor import Predictor
from seq2seq.progress import step
from seq2seq.request import PredictionRequest
from seq2seq.tasks.tagging import Tagging
from seq2seq.trust import Trust

CHUNK = 64
"""The number of batches that are read, sorted by length and predicted together."""

FORMATS_WITH: dict[str, tuple[Format, ...]] = {
    "n_best": ("jsonl", "tsv"),
    "alignments": ("jsonl",),
    "attention": ("jsonl",),
    "token_scores": ("jsonl",),
}
"""The output formats that can hold an extra output."""


def predict_file(
    runs: Sequence[Path],
    source: str,
    target: str,
    request: PredictionRequest,
    output_format: Format | Literal["conll"] | None = None,
    constraints: Mapping[str, Any] | None = None,
    pictures: Path | None = None,
    trust: Trust = (),
) -> None:
    """Predicts for each input of a file, in order.

    Args:
        runs: The run folder; with further ones, an ensemble.
        source: The file, see `read_inputs`; `-` reads lines from stdin.
        target: The file to write, or `-` for stdout.
        request: How to predict, and which extra outputs to return.
        output_format: `text` writes predictions; `tsv` also source, score, and the probability of
            each class, one line for each hypothesis; `jsonl` all outputs; `conll` the input's lines
            with the predicted labels. None is `conll` for CoNLL files, `jsonl` for extra outputs,
            otherwise `text`.
        constraints: Fields, such as `required`, added to all records that do not have them.
        pictures: A folder for a heat map of each alignment.
        trust: Further modules and classes that the runs' configs may name.

    Raises:
        UserError: If a run, the input or the request cannot be used.
    """
    if is_forecasting(runs[0], trust):
        forecast_file(Predictor.load(*runs, trust=trust), source, target, request, output_format)
        return
    if output_format == "csv":
        raise UserError("--format csv: is for forecasts; use text, tsv or jsonl.")
    path = input_path(source)
    columns = output_format == "conll" or is_conll(path.name)
    at_terminal = output_format is None and target == "-" and sys.stdout.isatty()
    output_format = _format_for(output_format, request, columns)
    _refuse_for_columns(columns, constraints, pictures, runs[1:])
    with output(target) as stream:
        predictor = Predictor.load(*runs, trust=trust)
        is_typed = announce_terminal(source)
        if constraints and predictor.task.input_fields:
            raise UserError(f"--{next(iter(constraints))}: does not apply to this run.")
        write = _writer(output_format, predictor, path, at_terminal)
        inputs = with_fields(read_inputs(path, predictor.task, columns), constraints or {})
        number = 0
        for chunk in chunks(inputs, 1 if is_typed else CHUNK * request.batch_size):
            with step(f"predicting, {number:,} done" if number else "predicting"):
                piece = replace(request, first_number=number)
                rows = predictor.predict([item.value for item in chunk], piece)
            for item, row in zip(chunk, rows, strict=True):
                number += 1
                if pictures is not None and row["prediction"]:
                    _draw_alignment(row, pictures / f"{number:06}.png")
                stream.write(write(item, row))
            stream.flush()


def _format_for(
    output_format: Format | Literal["conll"] | None, request: PredictionRequest, columns: bool
) -> Format | Literal["conll"]:
    """Returns the output format, or raises UserError if it cannot hold an extra output."""
    extra_outputs = [name for name in FORMATS_WITH if getattr(request, name)]
    if output_format is None:
        output_format = "conll" if columns else "jsonl" if extra_outputs else "text"
    for name in extra_outputs:
        if output_format not in FORMATS_WITH[name]:
            raise UserError(
                f"--{name.replace('_', '-')}: cannot be written with --format {output_format}; use "
                f"{' or '.join(FORMATS_WITH[name])}."
            )
    return output_format


def _refuse_for_columns(
    columns: bool,
    constraints: Mapping[str, Any] | None,
    pictures: Path | None,
    ensemble: Sequence[Path],
) -> None:
    """Raises UserError for options that do not apply to CoNLL files."""
    options = [*(constraints or {}), *["alignment-pictures"] * (pictures is not None)]
    options += ["ensemble"] * bool(ensemble)
    if columns and options:
        raise UserError(f"--{options[0]}: does not apply to CoNLL files.")


def _writer(
    output_format: Format | Literal["conll"], predictor: Predictor, path: Path, at_terminal: bool
) -> Callable[[Input, Any], str]:
    """Returns the function that formats an input and its row; tags have columns at a terminal."""
    if output_format == "conll":
        layout = layout_for(tagging_task(predictor.task, path), path)

        def with_labels(item: Input, row: Any) -> str:
            assert item.sentence is not None  # read from CoNLL
            return layout.with_column(item.sentence, "labels", row["labels"])

        return with_labels
    format_row = WRITERS[output_format]
    if at_terminal and output_format == "text" and isinstance(predictor.task, Tagging):
        format_row = in_columns

    def line(item: Input, row: Any) -> str:
        is_empty = item.sentence is not None and not item.sentence.words
        return "" if is_empty else format_row(row) + "\n"

    return line


def _draw_alignment(row: Mapping[str, Any], path: Path) -> None:
    # Matplotlib takes half a second to import.
    from seq2seq.plots.alignments import alignment_heatmap
    from seq2seq.plots.figure import save_figure

    figure = alignment_heatmap(row["alignments"], row["source_tokens"], row["target_tokens"])
    save_figure(figure, path)
