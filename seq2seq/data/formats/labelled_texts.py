"""Reads labelled texts: lines that begin with their label, and one folder of files per class."""

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import ClassVar

from seq2seq.data.formats.base import FileDataset, FileNames, FolderDataset
from seq2seq.data.formats.text_files import content_hash, read_lines, read_lines_with_places
from seq2seq.data.holdout import Holdout
from seq2seq.data.records import PlacedRecord
from seq2seq.errors import UserError

# Folders that systems and editors put beside the data, besides those that begin with a dot.
_IGNORED_FOLDERS = frozenset(("__MACOSX", "__pycache__", "@eaDir", "lost+found"))
_FIRST_WORD = re.compile(r"(\S*)\s*(.*)", re.DOTALL)


class LabelLines(FileDataset):
    """Reads lines that begin with their label, such as TREC's `NUM:dist How far is it ?`.

    With a prefix, it reads lines of fastText, `__label__pos __label__short great !`; the field
    `label` is then a list. Label and text are separated by any white space.

    Args:
        directory: The folder that the file names are relative to.
        files: The file, or files, of each split.
        depth: How many levels of a label, separated by `:`, are used; null for all.
        prefix: What each label begins with, such as `__label__`; null if the first word of a line
            is its only label.
        holdout: Takes further splits out of `train`.

    Example:
        >>> dataset = LabelLines("trec", {"train": "train_5500.label"}, depth=1)
    """

    def __init__(
        self,
        directory: str,
        files: FileNames,
        depth: int | None = None,
        prefix: str | None = None,
        holdout: Holdout | None = None,
    ) -> None:
        super().__init__(directory, files, holdout)
        if depth is not None and depth < 1:
            raise UserError(f"data.depth={depth}: must be at least 1, or null.")
        self._depth, self._prefix = depth, prefix

    def _settings(self) -> list[str]:
        return [f"{self._depth} {self._prefix!r}"]

    def read_file(self, path: Path) -> Iterator[PlacedRecord]:
        """Yields the records of a file."""
        for place, line in read_lines_with_places(path):
            label, text = self._split(line)
            if not label or (isinstance(label, list) and "" in label):
                raise UserError(f"{place}: does not begin with {self._prefix!r} and a label.")
            yield PlacedRecord({"text": text, "label": label}, place)

    def _split(self, line: str) -> tuple[str | list[str], str]:
        """Returns the label, or labels, and the text."""
        text = line.lstrip()
        if self._prefix is None:
            label, text = _split_first_word(text)
            return self._shortened(label), text
        labels: list[str] = []
        while text.startswith(self._prefix):
            label, text = _split_first_word(text.removeprefix(self._prefix))
            labels.append(self._shortened(label))
        return labels, text

    def _shortened(self, label: str) -> str:
        return label if self._depth is None else ":".join(label.split(":")[: self._depth])


def _split_first_word(line: str) -> tuple[str, str]:
    match = _FIRST_WORD.match(line)
    return (match[1], match[2]) if match else (line, "")


class LabelFolders(FolderDataset):
    """Reads one folder per class with one file per text, such as `train/pos/0_9.txt` of IMDB.

    Hidden folders and files, such as `.ipynb_checkpoints`, and `__MACOSX` are ignored.

    Args:
        directory: The folder that holds the folders of the splits.
        folders: The folder of each split; it holds a folder for each class.
        pattern: Which files of a class's folder are read; `**/*.txt` also reads subfolders.
        labels: The folders that are classes; null for all folders.
        holdout: Takes further splits out of `train`.

    Example:
        >>> dataset = LabelFolders("aclImdb", {"train": "train"}, labels=["pos", "neg"])
    """

    split_keys: ClassVar[tuple[str, ...]] = ("folders",)

    def __init__(
        self,
        directory: str,
        folders: Mapping[str, str | None],
        pattern: str = "*.txt",
        labels: list[str] | None = None,
        holdout: Holdout | None = None,
    ) -> None:
        self._folders = {split: name for split, name in folders.items() if name is not None}
        self._pattern, self._labels = pattern, labels
        if not pattern or Path(pattern).is_absolute():
            raise UserError(f"data.pattern={pattern!r}: must be a pattern such as '*.txt'.")
        super().__init__(directory, self._folders, holdout)

    def _labelled_paths(self, split: str) -> list[tuple[str, Path]]:
        """Returns the files of a split, each with its class."""
        top = self._directory / self._folders[split]
        if not top.is_dir():
            raise UserError(f"data.folders.{split}: there is no folder {top.absolute()}.")
        try:
            folders = sorted(path.name for path in top.iterdir() if path.is_dir())
            labels = self._labels
            if labels is None:
                labels = [name for name in folders if not _is_hidden(name)]
            for name in set(labels) - set(folders):
                raise UserError(
                    f"data.labels: {top.absolute()} has no folder {name!r}; it has "
                    f"{', '.join(folders)}."
                )
            return [(label, path) for label in labels for path in self._texts(top / label)]
        except OSError as error:
            raise UserError(f"{top}: cannot be read ({error}).") from None

    def _texts(self, folder: Path) -> list[Path]:
        return [
            path
            for path in sorted(folder.glob(self._pattern))
            if path.is_file() and not any(map(_is_hidden, path.relative_to(folder).parts))
        ]

    def _read(self, split: str) -> Iterator[PlacedRecord]:
        for label, path in self._labelled_paths(split):
            text = "\n".join(read_lines(path))
            yield PlacedRecord({"text": text, "label": label}, str(path))

    def _content(self, split: str) -> list[str]:
        return [f"{label} {content_hash(path)}" for label, path in self._labelled_paths(split)]


def _is_hidden(name: str) -> bool:
    return name.startswith(".") or name in _IGNORED_FOLDERS
