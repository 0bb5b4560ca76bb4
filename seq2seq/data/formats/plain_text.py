"""Reads plain text files as documents."""

import itertools
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import ClassVar

from seq2seq.data.formats.base import FileNames, FolderDataset, files_by_split
from seq2seq.data.formats.text_files import content_hash, find_file, read_lines
from seq2seq.data.holdout import Holdout
from seq2seq.data.records import Record
from seq2seq.errors import UserError


class PlainText(FolderDataset):
    r"""Reads text files, each of one document, or of several with a separator between them.

    A record is one document, `{"text": "..."}`; each of its lines ends with LF.

    Args:
        directory: The folder that the file names are relative to.
        files: The file, or files, of each split; gzip works.
        separator: The text between two documents of a file, such as `"\n***\n"`; null if each file
            is one document.
        head: The shares at the beginning of each file of `train` that belong to other splits, in
            the order of the file.
        tail: The same at the end of each file.
        same_as: Splits that have the text of another one, such as `{"test": "validation"}` where a
            published division has no test of its own.
        holdout: Takes documents out of `train` for further splits.

    Example:
        >>> dataset = PlainText(
        ...     "shakespeare", {"train": "input.txt"}, head={"validation": 0.05}, tail={"test": 0.1}
        ... )
    """

    split_keys: ClassVar[tuple[str, ...]] = ("files", "head", "tail")

    def __init__(
        self,
        directory: str,
        files: FileNames,
        separator: str | None = None,
        head: Mapping[str, float | None] | None = None,
        tail: Mapping[str, float | None] | None = None,
        holdout: Holdout | None = None,
        same_as: Mapping[str, str | None] | None = None,
    ) -> None:
        self._files = files_by_split(files)
        self._separator = separator
        self._ends = {"head": _without_none(head), "tail": _without_none(tail)}
        self._check()
        self._parts = _parts(**self._ends)
        stored_splits = [*self._files, *self._ends["head"], *self._ends["tail"]]
        self._same_as = {split: other for split, other in (same_as or {}).items() if other}
        for split, other in self._same_as.items():
            if split in stored_splits or other not in stored_splits:
                raise UserError(
                    f"data.same_as.{split}={other}: {split} must have no text of its own, and "
                    f"{other} must have one; there are {', '.join(stored_splits)}."
                )
        super().__init__(directory, [*stored_splits, *self._same_as], holdout)

    def _check(self) -> None:
        if self._separator == "":
            raise UserError("data.separator is empty; leave it out if each file is one document.")
        ends = [(end, *item) for end, shares in self._ends.items() for item in shares.items()]
        key_of_split = dict.fromkeys(self._files, "files")
        for end, split, share in ends:
            if split in key_of_split:
                raise UserError(
                    f"The split {split} is given by data.{key_of_split[split]} and also by "
                    f"data.{end}; remove one of them (such as by data.{end}.{split}=null)."
                )
            if not 0 < share < 1:
                raise UserError(f"data.{end}.{split}={share:g} is not between 0 and 1.")
            key_of_split[split] = end
        if sum(share for _, _, share in ends) >= 1:
            shares = ", ".join(f"data.{end}.{split}={share:g}" for end, split, share in ends)
            raise UserError(f"{shares} leave nothing to train on; their sum must be below 1.")

    def _read(self, split: str) -> Iterator[Record]:
        split = self._same_as.get(split, split)
        begin, end = self._part(split)
        for path in self._paths(split):
            text = "".join(f"{line}\n" for line in read_lines(path))
            text = text[round(begin * len(text)) : round(end * len(text))]
            documents = [text] if self._separator is None else text.split(self._separator)
            yield from ({"text": document} for document in documents)

    def _content(self, split: str) -> list[str]:
        split = self._same_as.get(split, split)
        hashes = map(content_hash, self._paths(split))
        return [str(self._separator), str(self._part(split)), *hashes]

    def _paths(self, split: str) -> list[Path]:
        names = self._files["train" if split in self._parts else split]
        return [find_file(self._directory, name) for name in names]

    def _part(self, split: str) -> tuple[float, float]:
        return self._parts.get(split, (0.0, 1.0))


def _without_none(shares: Mapping[str, float | None] | None) -> dict[str, float]:
    return {split: share for split, share in (shares or {}).items() if share is not None}


def _parts(head: Mapping[str, float], tail: Mapping[str, float]) -> dict[str, tuple[float, float]]:
    """Returns where each split begins and ends in the files of `train`, as shares of a file."""
    begins = itertools.accumulate(head.values(), initial=0.0)
    ends = [1 - share for share in itertools.accumulate([*tail.values()][::-1], initial=0.0)]
    bounds = itertools.pairwise([*begins, *reversed(ends)])
    return dict(zip([*head, "train", *tail], bounds, strict=True))
