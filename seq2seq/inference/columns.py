"""Files in columns (CoNLL, CoNLL-U): labelled, with every other byte as it was."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

from seq2seq.data.formats.conll import ColumnError, ColumnFormat, Sentence, layout_of
from seq2seq.data.formats.text_files import read_whole_lines
from seq2seq.data.records import PlacedRecord, Record, chunks
from seq2seq.errors import UserError
from seq2seq.inference.files import CHUNK, WRITERS, check_readable, output, standing_for
from seq2seq.inference.predictor import Predictor
from seq2seq.tasks.tagging import Tagging
from seq2seq.trust import Trust


def predict_columns(
    run_folder: Path,
    source: str,
    target: str,
    output_format: Literal["conll", "text", "tsv", "jsonl"] | None = None,
    batch_size: int = 64,
    trust: Trust = (),
    **asked: Any,
) -> None:
    """Labels a file in columns.

    Args:
        run_folder: The folder of a tagging run.
        source: A file (gzip works) laid out as the run's training data, or CoNLL-U, told by its
            ending; of another kind of training data, with the words in the first column and the
            labels in the last one. `-` reads stdin.
        target: A file, or `-` for stdout.
        output_format: `conll` (the default) writes the same lines with the column of the labels
            filled in; the others write a row a sentence, as `predict_file`.
        batch_size: How many sentences are labelled at once.
        trust: Modules and classes of one's own that the run's config may name.
        asked: What else `Predictor` is asked for, such as `n_best`.

    Raises:
        UserError: If the model or the input cannot be used.
    """
    if batch_size < 1:
        raise UserError(f"--batch-size: must be at least 1, got {batch_size}")
    in_place = output_format in (None, "conll")
    if in_place and "n_best" in asked:
        raise UserError("--n-best: cannot be told with --format conll; use jsonl or tsv.")
    path = standing_for(source)
    check_readable(path)
    with output(target) as stream:
        predictor = Predictor.load(run_folder, trust=trust)
        task = tagging_task(predictor, path)
        layout = layout_of(path.name, task.format)
        sentences = layout.sentences(read_whole_lines(path))
        for chunk in chunks(sentences, CHUNK * batch_size):
            records = [_record(path, layout, sentence, task) for sentence in chunk]
            rows = predictor(records, batch_size, **asked)
            for sentence, row in zip(chunk, rows, strict=True):
                if in_place:
                    stream.write(layout.filled(sentence, "labels", row["labels"]))
                elif sentence.words:
                    stream.write(WRITERS[str(output_format)](row) + "\n")
            stream.flush()


def column_records(predictor: Predictor, path: Path) -> Iterator[Record]:
    """Yields what a tagging run reads of the sentences of a file in columns.

    Raises:
        UserError: If the run or the file cannot be used.
    """
    task = tagging_task(predictor, path)
    layout = layout_of(path.name, task.format)
    for sentence in layout.sentences(read_whole_lines(path)):
        if sentence.words:
            yield _record(path, layout, sentence, task)


def tagging_task(predictor: Predictor, path: Path) -> Tagging:
    """Returns the task of a run that can label a file in columns.

    Raises:
        UserError: If the run is one of another task.
    """
    if not isinstance(predictor.task, Tagging):
        kind = type(predictor.task).__name__
        raise UserError(f"{path}: is read in columns, which {kind} runs have no use for.")
    return predictor.task


def _record(path: Path, layout: ColumnFormat, sentence: Sentence, task: Tagging) -> Record:
    """Returns what is read of a sentence."""
    fields = ["tokens", *task.tokenizer.settings["columns"]]
    for field in fields:
        if field not in layout.columns:
            raise UserError(
                f"{path}: the model reads {field}, of which it is not known in which column they "
                "are; give JSONL."
            )
    try:
        return PlacedRecord(layout.values(sentence, fields), f"{path}:{sentence.line}")
    except ColumnError as error:
        raise UserError(f"{path}:{error.line}: {error}.") from error
