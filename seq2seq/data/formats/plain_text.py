"""Plain text files as documents."""

import itertools
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import ClassVar

from seq2seq.data.datasets import Dataset, FileNames, Record
from seq2seq.data.formats.text_files import content_hash, find_file, read_lines
from seq2seq.data.holdout import Holdout
from seq2seq.errors import UserError


class PlainText(Dataset):
    r"""Text files; each is a document, or several with a separator between them.

    A record is one document, `{"text": "..."}`; each of its lines ends with LF. gzip works too.

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
    ) -> None:
        r"""Names the files; nothing is read yet.

        Args:
            directory: The folder that the file names are relative to.
            files: The file, or files, of each split.
            separator: What stands between two documents of a file, such as a line of three stars,
                `"\n***\n"`; None where a file is one document.
            head: The shares of each file of `train` that belong to other splits, in the order in
                which they stand at its beginning.
            tail: As `head`, at its end.
            holdout: Takes whole documents out of `train` for further splits.

        Raises:
            UserError: If the shares are impossible, or a split is given twice.
        """
        self._directory = Path(directory).expanduser()
        self._files = {
            split: (names,) if isinstance(names, str) else tuple(names)
            for split, names in files.items()
            if names is not None
        }
        self._separator = separator
        self._ends = {"head": _given(head), "tail": _given(tail)}
        self._check(separator)
        self._parts = _parts(**self._ends)
        super().__init__([*self._files, *self._ends["head"], *self._ends["tail"]], holdout)

    def _check(self, separator: str | None) -> None:
        if separator == "":
            raise UserError("data.separator is empty; leave it out where a file is one document.")
        ends = [(end, *item) for end, shares in self._ends.items() for item in shares.items()]
        given = dict.fromkeys(self._files, "files")
        for end, split, share in ends:
            if split in given:
                raise UserError(
                    f"The split {split} is given by data.{given[split]} and also by data.{end}; "
                    f"remove one of them (such as by data.{end}.{split}=null)."
                )
            if not 0 < share < 1:
                raise UserError(f"data.{end}.{split}={share:g} is not between 0 and 1.")
            given[split] = end
        if sum(share for _, _, share in ends) >= 1:
            shares = ", ".join(f"data.{end}.{split}={share:g}" for end, split, share in ends)
            raise UserError(f"{shares} leave nothing to train on; their sum must be below 1.")

    def describe(self) -> dict[str, str]:
        """Returns what the tracking shows: `name` and `source`."""
        path = self._directory.absolute()
        return {"name": "/".join(path.parts[-2:]), "source": str(path)}

    def _read(self, split: str) -> Iterator[Record]:
        begin, end = self._part(split)
        for path in self._paths(split):
            text = "".join(f"{line}\n" for line in read_lines(path))
            text = text[round(begin * len(text)) : round(end * len(text))]
            documents = [text] if self._separator is None else text.split(self._separator)
            yield from ({"text": document} for document in documents)

    def _content(self, split: str) -> list[str]:
        hashes = map(content_hash, self._paths(split))
        return [str(self._separator), str(self._part(split)), *hashes]

    def _paths(self, split: str) -> list[Path]:
        names = self._files["train" if split in self._parts else split]
        return [find_file(self._directory, name) for name in names]

    def _part(self, split: str) -> tuple[float, float]:
        return self._parts.get(split, (0.0, 1.0))


def _given(shares: Mapping[str, float | None] | None) -> dict[str, float]:
    return {split: share for split, share in (shares or {}).items() if share is not None}


def _parts(head: Mapping[str, float], tail: Mapping[str, float]) -> dict[str, tuple[float, float]]:
    """Returns from where to where each split reaches in the files of `train`, as shares of them."""
    begins = itertools.accumulate(head.values(), initial=0.0)
    ends = [1 - after for after in itertools.accumulate([*tail.values()][::-1], initial=0.0)]
    bounds = itertools.pairwise([*begins, *reversed(ends)])
    return dict(zip([*head, "train", *tail], bounds, strict=True))
