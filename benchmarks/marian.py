"""Marian as `pymarian` has it: token ids as its text, its options, and its commands.

Token `i` is written as `ti` and keeps its number; the end token is Marian's `</s>`, number 0.
"""

import subprocess
import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.works import Work

RESERVED = ("</s>", "<unk>")
VOCABULARY = "vocabulary.yml"
MODEL = "model.npz"
THREADS = 2
UPDATE = " : Up. "
"""Is in the log's line of an update."""
TRAINING_STARTED = "Training started"
"""Is in the log's line before the first update."""


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


@dataclass(frozen=True)
class Settings:
    """The model and its training.

    Attributes:
        embedding: Width of the embeddings.
        units: Units of the encoder, a direction, and of the decoder.
        decoder_cells: Cells of the decoder's layer, between which the attention is: 2 is Marian's
            default; with 1 nothing but the output layer reads what was attended to, as in work A.
        tied: Whether both sides' embeddings and the output layer share their weights.
        batch_size: Sentences of a batch.
        learning_rate: Of Adam.
        dropout: Of the recurrent layers' inputs and states.
        label_smoothing: Of the cross-entropy.
        averaging: What each update adds to the moving average of the weights.
    """

    embedding: int = 256
    units: int = 512
    decoder_cells: int = 1
    tied: bool = False
    batch_size: int = 64
    learning_rate: float = 1e-3
    dropout: float = 0.0
    label_smoothing: float = 0.0
    averaging: float = 0.0

    @classmethod
    def of(cls, work: Work) -> "Settings":
        """Returns those nearest to a work; the decoder has as many units as the work's."""
        return cls(work.embedding, work.encoder_width, batch_size=work.batch_size)

    def options(self) -> list[str]:
        """Returns Marian's options."""
        return [
            *("--type", "s2s", "--enc-cell", "lstm", "--dec-cell", "lstm"),
            *("--dim-emb", str(self.embedding), "--dim-rnn", str(self.units)),
            *("--dec-cell-base-depth", str(self.decoder_cells)),
            *(("--tied-embeddings-all",) if self.tied else ()),
            *("--mini-batch", str(self.batch_size), "--mini-batch-round-up", "false"),
            *("--optimizer", "adam", "--learn-rate", str(self.learning_rate)),
            *("--cost-type", "ce-mean-words", "--clip-norm", "1"),
            *("--dropout-rnn", str(self.dropout), "--label-smoothing", str(self.label_smoothing)),
            *("--exponential-smoothing", str(self.averaging)),
        ]


def training_options(settings: Settings, folder: Path, vocabulary: int) -> list[str]:
    """Returns the options of a training on `train.source` and `train.target` of a folder."""
    return [
        *settings.options(),
        *("--model", str(folder / MODEL), "--tempdir", str(folder)),
        *("--train-sets", str(folder / "train.source"), str(folder / "train.target")),
        *(*vocabulary_options(folder), "--dim-vocabs", str(vocabulary), str(vocabulary)),
        *("--cpu-threads", str(THREADS), "--sync-sgd", "--seed", "1"),
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


def convert(folder: Path, target: str, source: str = MODEL, python: str = sys.executable) -> None:
    """Writes a copy of a model whose weights are quantized to 8 bits, for this processor."""
    precision = "intgemm8avx512" if "avx512bw" in _processor_flags() else "intgemm8avx2"
    names = ("--from", str(folder / source), "--to", str(folder / target))
    run(["convert", *names, "--gemm-type", precision], python)


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


def _processor_flags() -> set[str]:
    path = Path("/proc/cpuinfo")
    return set(path.read_text(encoding="utf-8").split()) if path.exists() else set()
