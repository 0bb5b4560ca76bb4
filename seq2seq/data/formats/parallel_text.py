"""Reads parallel text: line N of a source file belongs to line N of a target file."""

from collections.abc import Iterable, Iterator
from itertools import zip_longest
from pathlib import Path

from seq2seq.data.formats.base import FileNames, FolderDataset, files_by_split
from seq2seq.data.formats.text_files import content_hash, find_file, read_lines
from seq2seq.data.holdout import Holdout
from seq2seq.data.records import Record
from seq2seq.data.word_alignments import with_alignments
from seq2seq.errors import UserError


class ParallelText(FolderDataset):
    """Reads pairs of text files, as the corpora of WMT and Multi30k are distributed.

    Args:
        directory: The folder that the file names are relative to.
        source: The file, or files, of the source side by split; gzip works.
        target: The same for the target side; file N belongs to file N of the source.
        holdout: Takes further splits out of `train`.
        alignments: The file, or files, of the word alignments of the training pairs, in the format
            of Pharaoh: line N, such as `0-0 1-2`, belongs to line N of the texts. They become the
            field `alignment` of the records.

    Raises:
        UserError: If the two sides name different splits or different numbers of files.

    Example:
        >>> dataset = ParallelText(
        ...     "multi30k",
        ...     source={"train": "train.en", "validation": "val.en"},
        ...     target={"train": "train.de", "validation": "val.de"},
        ... )
    """

    split_keys = ("source", "target")

    def __init__(
        self,
        directory: str,
        source: FileNames,
        target: FileNames,
        holdout: Holdout | None = None,
        alignments: str | Iterable[str] | None = None,
    ) -> None:
        self._source, self._target = files_by_split(source), files_by_split(target)
        for split in self._source | self._target:
            counts = [len(side.get(split, ())) for side in (self._source, self._target)]
            if counts[0] != counts[1]:
                raise UserError(
                    f"data.source.{split} names {counts[0]} file(s), but data.target.{split} "
                    f"names {counts[1]}: each file needs its counterpart."
                )
        self._alignments = files_by_split({"train": alignments}).get("train", ())
        self.has_alignments = bool(self._alignments)
        texts = len(self._source.get("train", ()))
        if self._alignments and len(self._alignments) != texts:
            raise UserError(
                f"data.source.train names {texts} file(s), but data.alignments names "
                f"{len(self._alignments)}: each file needs its counterpart."
            )
        super().__init__(directory, self._source, holdout)

    def _pairs(self, split: str) -> list[tuple[Path, Path]]:
        return [
            (find_file(self._directory, source), find_file(self._directory, target))
            for source, target in zip(self._source[split], self._target[split], strict=True)
        ]

    def _alignment_paths(self, split: str) -> list[Path]:
        names = self._alignments if split == "train" else ()
        return [find_file(self._directory, name) for name in names]

    def _read(self, split: str) -> Iterator[Record]:
        alignments = self._alignment_paths(split)
        for number, pair in enumerate(self._pairs(split)):
            records = _read_pairs(*pair)
            yield from with_alignments(records, alignments[number]) if alignments else records

    def _content(self, split: str) -> list[str]:
        paths = [path for pair in self._pairs(split) for path in pair]
        return [content_hash(path) for path in (*paths, *self._alignment_paths(split))]


def _read_pairs(source_path: Path, target_path: Path) -> Iterator[Record]:
    """Yields the pairs of two files."""
    lines = zip_longest(read_lines(source_path), read_lines(target_path))
    for number, (source, target) in enumerate(lines):
        if source is None or target is None:
            line_count = number + 1 + sum(1 for _ in lines)
            counts = (number, line_count) if source is None else (line_count, number)
            raise UserError(
                f"{source_path} has {counts[0]} lines, but {target_path} has "
                f"{counts[1]}: line N of the source must belong to line N of the target."
            )
        yield {"source": source, "target": target}
