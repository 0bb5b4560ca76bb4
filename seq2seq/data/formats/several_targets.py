"""The base class of datasets whose sources may have several correct targets."""

from collections.abc import Iterator, Sequence
from typing import Literal

from seq2seq.data.formats.base import FileDataset, FileNames
from seq2seq.data.formats.text_files import is_blank
from seq2seq.data.holdout import Holdout
from seq2seq.data.records import PlacedRecord, Record, place_of

FurtherTargets = Literal["ignore", "evaluate", "train"]
"""What targets beside the first are for."""


class SeveralTargets(FileDataset):
    """A dataset of files whose records may have further correct targets.

    Args:
        directory: As in `FileDataset`.
        files: As in `FileDataset`.
        holdout: As in `FileDataset`.
        further_targets: What they are for: `evaluate` scores predictions against any target,
            `train` also learns from each; `ignore` reads the first alone.
    """

    def __init__(
        self,
        directory: str,
        files: FileNames,
        holdout: Holdout | None = None,
        further_targets: FurtherTargets = "ignore",
    ) -> None:
        self._further_targets = further_targets
        super().__init__(directory, files, holdout)

    def records(self, split: str) -> Iterator[Record]:
        """Yields the records of a split, always in the same order.

        With `further_targets`, they have all correct targets as `references`; in the split `train`,
        each of these may be the `target` of a record of its own.
        """
        records = super().records(split)
        if split != "train" or self._further_targets != "train":
            return records
        return (
            PlacedRecord({**record, "target": target}, place_of(record, number))
            for number, record in enumerate(records, start=1)
            for target in record["references"]
        )

    def _add_references(self, record: Record, targets: Sequence[str]) -> None:
        """Gives a record its correct targets as `references`, each once and without blank ones."""
        visible = [text for text in targets if not is_blank(text)]
        record["references"] = list(dict.fromkeys(visible)) or [record["target"]]

    def _settings(self) -> list[str]:
        return [] if self._further_targets == "ignore" else [self._further_targets]
