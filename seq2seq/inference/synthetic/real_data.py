"""The real pairs beside synthetic ones."""

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from seq2seq.data.dataset import SPLITS, Dataset
from seq2seq.data.formats.text_files import is_blank
from seq2seq.data.records import Record
from seq2seq.errors import UserError
from seq2seq.inference.evaluation import data_of
from seq2seq.run_folder import SAVED
from seq2seq.trust import Trust


class RealPairs:
    """The pairs that a run was trained and evaluated on.

    Args:
        run_folder: The run.
        exchanged: Whether source and target are exchanged, as for a run in the other direction.
        trust: Further modules and classes that the run's config may name.

    Raises:
        UserError: If the run does not say what its data were.
    """

    def __init__(self, run_folder: Path, exchanged: bool = False, trust: Trust = ()) -> None:
        if not (run_folder / SAVED / "config.yaml").is_file():
            raise UserError(
                f"{run_folder}: does not say what its training data are (no {SAVED}/config.yaml). "
                "Give the folder of a run that was trained, not of a model alone"
            )
        self.data: Dataset = data_of(run_folder, "train", None, None, trust)
        self.exchanged = exchanged

    def pairs(self, split: str) -> Iterator[Record]:
        """Yields records with `source` and `target`.

        The target of a record to evaluate is a list of texts if it has several references.
        """
        for record in self.data.records(split):
            source, target = record["source"], record["target"]
            if self.exchanged:
                yield {"source": target, "target": source}
            elif split == "train":
                yield {"source": source, "target": target}
            else:
                yield {"source": source, "target": record.get("references", target)}

    @property
    def has_references(self) -> bool:
        """Whether records to evaluate may have several references."""
        return not self.exchanged and "references" in next(iter(self.data.records("test")))

    def sources(self) -> Iterator[str]:
        """Yields the sources of training that have a visible character."""
        return visible(pair["source"] for pair in self.pairs("train"))

    def origin(self, runs: Sequence[Path], texts: Sequence[Path] = ()) -> dict[str, object]:
        """Returns where runs, monolingual texts and these pairs are, for a manifest."""
        return {
            "runs": [str(run.absolute()) for run in runs],
            **({"texts": [str(path.absolute()) for path in texts]} if texts else {}),
            "real": self.data.describe()["source"],
        }

    def fingerprints(self) -> dict[str, str]:
        """Returns a hash of each split."""
        return {split: self.data.fingerprint(split) for split in SPLITS}


def visible(texts: Iterable[str]) -> Iterator[str]:
    """Yields the texts that have a visible character."""
    return (text for text in texts if not is_blank(text))


def check_copies(copies: int) -> None:
    """Raises UserError if a number of copies of the real pairs is negative."""
    if copies < 0:
        raise UserError(f"--real-copies: must not be negative, got {copies}")
