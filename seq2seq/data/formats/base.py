"""The base classes of datasets that are read from files."""

from abc import abstractmethod
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import ClassVar

from seq2seq.data.dataset import Dataset
from seq2seq.data.formats.text_files import content_hash, find_file
from seq2seq.data.holdout import Holdout
from seq2seq.data.records import Record

FileNames = Mapping[str, str | Iterable[str] | None]
"""The names of the files of each split; `None` if there is no such split."""


class FolderDataset(Dataset):
    """A dataset of files below one folder."""

    def __init__(
        self, directory: str, stored_splits: Iterable[str], holdout: Holdout | None = None
    ) -> None:
        self._directory = Path(directory).expanduser()
        super().__init__(stored_splits, holdout)

    def describe(self) -> dict[str, str]:
        """Returns the folder's name and path."""
        path = self._directory.absolute()
        return {"name": "/".join(path.parts[-2:]), "source": str(path)}


class FileDataset(FolderDataset):
    """A dataset whose splits are read lazily, one file after the other.

    Args:
        directory: The folder that the file names are relative to.
        files: The file, or files, of each split; gzip works.
        holdout: Takes further splits out of `train`.
    """

    split_keys: ClassVar[tuple[str, ...]] = ("files",)

    def __init__(self, directory: str, files: FileNames, holdout: Holdout | None = None) -> None:
        self._files = files_by_split(files)
        super().__init__(directory, self._files, holdout)

    def _paths(self, split: str) -> list[Path]:
        return [find_file(self._directory, name) for name in self._files[split]]

    def _read(self, split: str) -> Iterator[Record]:
        for path in self._paths(split):
            yield from self.read_file(path)

    def _content(self, split: str) -> list[str]:
        return [*self._settings(), *map(content_hash, self._paths(split))]

    @abstractmethod
    def read_file(self, path: Path) -> Iterator[Record]:
        """Yields the records of a file."""

    @abstractmethod
    def _settings(self) -> list[str]:
        """Returns what determines the records apart from the content of the files."""


def files_by_split(files: FileNames) -> dict[str, tuple[str, ...]]:
    """Returns the names of each split's files, without the splits that have none."""
    return {
        split: (names,) if isinstance(names, str) else tuple(names)
        for split, names in files.items()
        if names is not None
    }
