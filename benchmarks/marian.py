"""Marian as `pymarian` has it: token ids as its text, its options, and its commands.

Token `i` is written as `ti` and keeps its number; the end token is Marian's `</s>`, number 0.
"""

import subprocess
import sys
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from benchmarks.works import Work

RESERVED = ("</s>", "<unk>")
VOCABULARY = "vocabulary.yml"
MODEL = "model.npz"
THREADS = 2
UPDATE = " : Up. "
"""Is in the log's line of an update."""


def write_vocabulary(folder: Path, size: int) -> None:
    """Writes the file of a vocabulary for both sides."""
    tokens = [*RESERVED, *(f"t{number}" for number in range(len(RESERVED), size))]
    lines = (f"{token}: {number}\n" for number, token in enumerate(tokens))
    (folder / VOCABULARY).write_text("".join(lines), encoding="utf-8")


def to_lines(rows: Iterable[Iterable[int]]) -> list[str]:
    """Returns rows of token ids, without start and end, as text."""
    return [" ".join(f"t{token}" for token in row) for row in rows]


def to_ids(line: str) -> list[int]:
    """Returns the token ids of a translation."""
    return [int(token[1:]) for token in line.split() if token not in RESERVED]


def write_lines(path: Path, lines: Iterable[str]) -> None:
    """Writes a corpus."""
    path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")


def training_options(work: Work, folder: Path) -> list[str]:
    """Returns the options of a training on `train.source` and `train.target` of a folder.

    The encoder has `work.encoder_width` units a direction, because the decoder has as many as
    each of them; one cell in the decoder, whose outputs ask the attention.
    """
    return [
        *("--type", "s2s", "--model", str(folder / MODEL), "--tempdir", str(folder)),
        *("--train-sets", str(folder / "train.source"), str(folder / "train.target")),
        *vocabulary_options(folder),
        *("--dim-vocabs", str(work.vocabulary), str(work.outputs)),
        *("--dim-emb", str(work.embedding), "--dim-rnn", str(work.encoder_width)),
        *("--enc-cell", "lstm", "--dec-cell", "lstm", "--dec-cell-base-depth", "1"),
        *("--mini-batch", str(work.batch_size), "--mini-batch-round-up", "false"),
        *("--cpu-threads", str(THREADS), "--sync-sgd", "--seed", "1", "--no-restore-corpus"),
        *("--optimizer", "adam", "--learn-rate", "0.001"),
        *("--cost-type", "ce-mean-words", "--clip-norm", "1"),
    ]


def vocabulary_options(folder: Path) -> list[str]:
    """Returns the option that names the vocabulary of both sides."""
    return ["--vocabs", str(folder / VOCABULARY), str(folder / VOCABULARY)]


def search_options(
    folder: Path, model: str, beam: int, length_factor: float, threads: int = THREADS
) -> list[str]:
    """Returns the options of a search, for `pymarian.Translator`.

    Args:
        folder: Of the model and the vocabulary.
        model: The file's name.
        beam: The beam size; with 1 scores are not normalized, which is faster.
        length_factor: The most tokens of a translation for each of its batch's longest source.
        threads: How many batches are translated at a time.
    """
    return [
        *("--models", str(folder / model), *vocabulary_options(folder)),
        *("--beam-size", str(beam), "--max-length-factor", str(length_factor)),
        *("--cpu-threads", str(threads), "--mini-batch", "64", "--maxi-batch", "100"),
        *("--maxi-batch-sort", "src", "--quiet", "--quiet-translation"),
        *(("--skip-cost",) if beam == 1 else ("--normalize", "1")),
    ]


def convert(folder: Path, model: str, precision: str = "intgemm8") -> None:
    """Writes a copy of `model.npz` whose weights are quantized to 8 bits."""
    run(["convert", "--from", str(folder / MODEL), "--to", str(folder / model), "-g", precision])


def run(arguments: Sequence[str], python: str = sys.executable) -> None:
    """Runs one of Marian's commands.

    Raises:
        RuntimeError: If it fails.
    """
    for _ in lines_of(arguments, python):
        pass


def lines_of(arguments: Sequence[str], python: str = sys.executable) -> Iterator[str]:
    """Runs one of Marian's commands, and yields the lines of its log as they come.

    Raises:
        RuntimeError: If it fails.
    """
    log: list[str] = []
    command = [python, "-m", "pymarian", *arguments]
    with subprocess.Popen(
        command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, encoding="utf-8"
    ) as process:
        assert process.stderr is not None
        for line in process.stderr:
            log.append(line)
            yield line
    if process.returncode:
        raise RuntimeError(f"marian {arguments[0]} failed:\n{''.join(log[-30:])}")
