"""`seq2seq score`: sources and targets in, log-probabilities out."""

import json
from collections.abc import Callable, Iterator, Sequence
from itertools import zip_longest
from pathlib import Path

from seq2seq.data.formats.json_lines import read_objects, text_at
from seq2seq.data.formats.text_files import read_lines
from seq2seq.data.records import chunks
from seq2seq.errors import UserError
from seq2seq.inference.files import CHUNK, Format, check_readable, one_cell, output, standing_for
from seq2seq.inference.predictor import Predictor
from seq2seq.tasks.base import Row
from seq2seq.trust import Trust


def score_file(
    run_folder: Path,
    pairs: str | None,
    sides: tuple[Path | None, Path | None],
    target: str,
    output_format: Format | None,
    batch_size: int = 64,
    ensemble: Sequence[Path] = (),
    alignments: bool = False,
    trust: Trust = (),
) -> None:
    """Scores pair by pair.

    Args:
        run_folder: A run folder.
        pairs: A TSV file (source, target; gzip works), JSONL (keys `source` and `target`), told by
            its ending; `-` reads TSV from stdin.
        sides: A file of sources and one of targets instead, line by line.
        target: A file, or `-` for stdout.
        output_format: `text` writes log-probabilities, `tsv` and `jsonl` also the texts, `jsonl`
            also what each token tells; None for `jsonl` if that was asked for, else `text`.
        batch_size: How many lines are scored at once.
        ensemble: Further runs.
        alignments: Whether to tell what each token attends to.
        trust: Modules and classes of one's own that the run's config may name.

    Raises:
        UserError: If the model or the input cannot be used.
    """
    if batch_size < 1:
        raise UserError(f"--batch-size: must be at least 1, got {batch_size}")
    if alignments and output_format not in (None, "jsonl"):
        raise UserError(f"--alignments: cannot be told with --format {output_format}; use jsonl.")
    records = input_pairs(pairs, *sides)
    write = WRITERS[output_format or ("jsonl" if alignments else "text")]
    with output(target) as stream:
        predictor = Predictor.load(run_folder, *ensemble, trust=trust)
        for chunk in chunks(records, CHUNK * batch_size):
            for row in predictor.score(chunk, batch_size, alignments=alignments):
                stream.write(write(row) + "\n")
            stream.flush()


def input_pairs(
    pairs: str | None, source: Path | None, target: Path | None
) -> Iterator[dict[str, str]]:
    """Yields records with `source` and `target`.

    Raises:
        UserError: If a file is missing or not UTF-8, a line is not as its format says, or there
            are more sources than targets, or fewer.
    """
    if (source is None) != (target is None) or (pairs is None) == (source is None):
        raise UserError("Give either a file of pairs (TSV or JSONL), or --source and --target.")
    if source is not None and target is not None:
        check_readable(source, "--source")
        check_readable(target, "--target")
        return _side_by_side(source, target)
    path = standing_for(str(pairs))
    check_readable(path)
    if path.name.removesuffix(".gz").endswith(".jsonl"):
        return (
            {key: text_at(values, key, place, required_by="what is scored") for key in SIDES}
            for place, values in read_objects(path)
        )
    return _columns(path)


SIDES = ("source", "target")


def _side_by_side(source: Path, target: Path) -> Iterator[dict[str, str]]:
    for number, (one, other) in enumerate(
        zip_longest(read_lines(source), read_lines(target)), start=1
    ):
        if one is None or other is None:
            short = source if one is None else target
            raise UserError(f"{short}: has only {number - 1} lines, and the other file has more.")
        yield {"source": one, "target": other}


def _columns(path: Path) -> Iterator[dict[str, str]]:
    for number, line in enumerate(read_lines(path), start=1):
        columns = line.split("\t")
        if len(columns) < 2:
            raise UserError(f"{path}:{number}: needs two columns, source and target, and a tab.")
        yield dict(zip(SIDES, columns, strict=False))


WRITERS: dict[str, Callable[[Row], str]] = {
    "text": lambda row: f"{row['score']:.6f}",
    "tsv": lambda row: "\t".join(
        [one_cell(row["source"]), one_cell(row["target"]), f"{row['score']:.6f}"]
    ),
    "jsonl": lambda row: json.dumps(row, ensure_ascii=False),
}
