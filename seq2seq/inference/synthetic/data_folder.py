"""Writes a folder of training data that models have made from one side of them."""

import json
import shutil
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import NamedTuple

from seq2seq.data.formats.text_files import is_blank
from seq2seq.data.records import Record
from seq2seq.errors import UserError
from seq2seq.files import atomic_file
from seq2seq.inference.predictor import Predictor
from seq2seq.inference.synthetic.manifest import (
    Values,
    begin_manifest,
    end_manifest,
    refuse_other_files,
)
from seq2seq.inference.synthetic.shards import Shards, Translated
from seq2seq.progress import step
from seq2seq.request import PredictionRequest
from seq2seq.run_folder import claimed

SHARDS = "shards"
"""The folder of the shards, until the data are complete."""
EVALUATED = ("validation", "test")


class Written(NamedTuple):
    """Synthetic data that are complete."""

    manifest: Values
    command: str
    """The command that trains on them."""


@dataclass(frozen=True)
class SyntheticData:
    """Synthetic pairs, and the real ones beside them.

    Attributes:
        plan: All that the data depend on, for the manifest.
        origin: Where the models and texts are, for the manifest.
        texts: Returns the texts to translate.
        count: The number of texts.
        pair: Returns the training pair of a text and its translation.
        real: Returns the real pairs of a split.
        real_copies: How often the real pairs are in the training data.
        shard_size: The number of texts of a shard.
    """

    plan: Values
    origin: Values
    texts: Callable[[], Iterable[str]]
    count: int
    pair: Callable[[Translated], Record]
    real: Callable[[str], Iterable[Record]]
    real_copies: int
    shard_size: int

    def write(self, folder: Path, predictor: Predictor, request: PredictionRequest) -> Values:
        """Writes the folder, or goes on with one that is not complete, and returns its manifest.

        The folder has `train.jsonl`, `validation.jsonl`, `test.jsonl` and `manifest.json`.

        Raises:
            UserError: If the folder holds other data or cannot be written, or another process
                writes it.
        """
        refuse_other_files(folder)
        try:
            with claimed(folder, "--output"):
                complete = begin_manifest(folder, self.plan, self.origin)
                manifest = complete or self._write(folder, predictor, request)
                shutil.rmtree(folder / SHARDS, ignore_errors=True)
                return manifest
        except OSError as error:
            raise UserError(
                f"--output {folder}: cannot be written ({error}). Make room, and start the same "
                "command again: it goes on with the next shard"
            ) from error

    def _write(self, folder: Path, predictor: Predictor, request: PredictionRequest) -> Values:
        shards = Shards(folder / SHARDS, self.shard_size)
        shards.translate(predictor, self.texts(), self.count, request)
        counts: Counter[str] = Counter()
        with step("writing the data"):
            real = (counted(self.real("train"), counts, "real") for _ in range(self.real_copies))
            synthetic = counted(self._pairs(shards, counts), counts, "synthetic")
            train = chain(chain.from_iterable(real), synthetic)
            lines = {"train.jsonl": write_records(folder / "train.jsonl", train)}
            for split in EVALUATED:
                name = f"{split}.jsonl"
                lines[name] = write_records(folder / name, self.real(split))
        return end_manifest(folder, self.plan, self.origin, counts, lines)

    def _pairs(self, shards: Shards, counts: Counter[str]) -> Iterator[Record]:
        """Yields the synthetic pairs without those whose translation is empty."""
        for translated in shards:
            if is_blank(translated.translation):
                counts["empty translations"] += 1
            else:
                yield self.pair(translated)


def counted(records: Iterable[Record], counts: Counter[str], name: str) -> Iterator[Record]:
    """Yields records, and counts them under a name."""
    for record in records:
        counts[name] += 1
        yield record


def write_records(path: Path, records: Iterable[Record]) -> int:
    """Writes one JSON object a line, atomically, without holding all; returns their number.

    Raises:
        OSError: If the file cannot be written.
    """
    count = 0
    with (
        atomic_file(path) as temporary,
        temporary.open("w", encoding="utf-8", newline="\n") as file,
    ):
        for count, record in enumerate(records, start=1):  # noqa: B007
            file.write(json.dumps(record, ensure_ascii=False) + "\n")
    return count
