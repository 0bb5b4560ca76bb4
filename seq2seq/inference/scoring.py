"""`seq2seq score`: computes the log-probabilities of given targets."""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import zip_longest
from pathlib import Path
from typing import Any

from seq2seq.data.formats.by_ending import ending_of
from seq2seq.data.formats.json_lines import read_objects, text_at
from seq2seq.data.formats.text_files import read_lines
from seq2seq.data.records import chunks
from seq2seq.errors import UserError
from seq2seq.inference.input_files import (
    announce_terminal,
    check_readable,
    input_path,
    tab_separated,
)
from seq2seq.inference.output_files import Format, one_cell, output
from seq2seq.inference.predict import CHUNK
from seq2seq.inference.predictor import Predictor
from seq2seq.progress import step
from seq2seq.trust import Trust

SIDES = ("source", "target")

WRITERS: dict[str, Callable[[Mapping[str, Any]], str]] = {
    "text": lambda row: f"{row['score']:.6f}",
    "tsv": lambda row: "\t".join(
        [one_cell(row["source"]), one_cell(row["target"]), f"{row['score']:.6f}"]
    ),
    "jsonl": lambda row: json.dumps(row, ensure_ascii=False),
}


def score_file(
    runs: Sequence[Path],
    pairs: str | None,
    sides: tuple[Path | None, Path | None],
    target: str,
    output_format: Format | None,
    batch_size: int = 64,
    alignments: bool = False,
    trust: Trust = (),
) -> None:
    """Scores each pair of a file, in order.

    Args:
        runs: The run folder; with further ones, an ensemble.
        pairs: A `.jsonl` file with the keys `source` and `target`; any other is TSV with these two
            columns; `-` reads TSV from stdin.
        sides: Instead, a file of sources and one of targets, line by line.
        target: The file to write, or `-` for stdout.
        output_format: `text` writes log-probabilities, `tsv` also the texts, `jsonl` also the
            log-probability of each token. None is `jsonl` with alignments, otherwise `text`.
        batch_size: How many pairs are scored at once.
        alignments: Whether to write each token's attention weights.
        trust: Further modules and classes that the runs' configs may name.

    Raises:
        UserError: If a run or the input cannot be used.
    """
    if batch_size < 1:
        raise UserError(f"--batch-size: must be at least 1, got {batch_size}")
    if alignments and output_format not in (None, "jsonl"):
        raise UserError(f"--alignments: cannot be written as {output_format}; use jsonl.")
    records = input_pairs(pairs, *sides)
    write = WRITERS[output_format or ("jsonl" if alignments else "text")]
    with output(target) as stream:
        predictor = Predictor.load(*runs, trust=trust)
        announce_terminal(pairs or "")
        done = 0
        for chunk in chunks(records, CHUNK * batch_size):
            with step(f"scoring, {done:,} done" if done else "scoring"):
                rows = predictor.score(chunk, batch_size, alignments=alignments)
            for row in rows:
                stream.write(write(row) + "\n")
            stream.flush()
            done += len(chunk)


def input_pairs(
    pairs: str | None, source: Path | None, target: Path | None
) -> Iterator[dict[str, str]]:
    """Yields records with `source` and `target`.

    Raises:
        UserError: If a file is missing or not UTF-8, a line is malformed, or the numbers of sources
            and targets differ.
    """
    if (source is None) != (target is None) or (pairs is None) == (source is None):
        raise UserError("Give either a file of pairs (TSV or JSONL), or --source and --target.")
    if source is not None and target is not None:
        check_readable(source, "--source")
        check_readable(target, "--target")
        return _side_by_side(source, target)
    path = input_path(str(pairs))
    if ending_of(path) == "jsonl":
        return (
            {key: text_at(values, key, place, required_by="what is scored") for key in SIDES}
            for place, values in read_objects(path)
        )
    return tab_separated(path, SIDES)


def _side_by_side(source: Path, target: Path) -> Iterator[dict[str, str]]:
    lines = zip_longest(read_lines(source), read_lines(target))
    for number, (source_line, target_line) in enumerate(lines, start=1):
        if source_line is None or target_line is None:
            shorter = source if source_line is None else target
            raise UserError(f"{shorter}: has only {number - 1} lines, and the other file has more.")
        yield {"source": source_line, "target": target_line}
