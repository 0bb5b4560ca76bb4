"""Translations of many texts in shards, each of which is written atomically."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

from seq2seq.data.records import chunks
from seq2seq.errors import UserError
from seq2seq.inference.predictor import Predictor
from seq2seq.prediction_rows import read_rows, write_rows
from seq2seq.progress import step
from seq2seq.request import PredictionRequest


class Translated(NamedTuple):
    """A text and its translation."""

    text: str
    translation: str


@dataclass(frozen=True)
class Shards:
    """The translations of a sequence of texts, in files `00000.jsonl`, `00001.jsonl`, ...

    A shard depends on its texts and their numbers alone, so that it does not matter how often the
    work was interrupted.

    Attributes:
        folder: The folder of the files.
        size: The number of texts of a shard; the last one may have fewer.
    """

    folder: Path
    size: int

    def translate(
        self, predictor: Predictor, texts: Iterable[str], count: int, request: PredictionRequest
    ) -> None:
        """Translates the texts of all shards that are missing or damaged.

        Args:
            predictor: The translator.
            texts: The texts, always the same ones in the same order.
            count: The number of texts.
            request: How to translate.

        Raises:
            UserError: If the request does not suit the run.
            OSError: If a shard cannot be written.
        """
        shard_count = -(-count // self.size)
        for number, shard in enumerate(chunks(texts, self.size)):
            path = self.folder / f"{number:05}.jsonl"
            if _holds(path, shard):
                continue
            piece = replace(request, first_number=number * self.size)
            with step(f"translating shard {number + 1:,} of {shard_count:,}"):
                rows = predictor.predict(shard, piece)
            write_rows(
                path,
                (Translated(row["source"], row["prediction"])._asdict() for row in rows),
            )

    def __iter__(self) -> Iterator[Translated]:
        """Yields all texts and their translations, in order."""
        for path in sorted(self.folder.glob("*.jsonl")):
            for row in read_rows(path):
                yield Translated(**row)


def _holds(path: Path, texts: Sequence[str]) -> bool:
    """Returns whether a file is an intact shard of these texts."""
    try:
        return path.is_file() and [row.get("text") for row in read_rows(path)] == list(texts)
    except UserError:  # damaged
        return False
