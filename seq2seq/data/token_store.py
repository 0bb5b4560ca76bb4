"""Tokenised records as memory-mapped columns, computed once and cached on disk."""

import dataclasses
import hashlib
import itertools
import json
import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import IO, Any, NamedTuple, Protocol

import numpy as np

from seq2seq.cache import cache_directory, ensure_directory
from seq2seq.data.formats.text_files import is_blank
from seq2seq.data.records import chunks, place_of
from seq2seq.errors import UserError

log = logging.getLogger(__name__)

_FORMAT_VERSION = 4
_CHUNK = 8192
_SHOWN_PLACES = 5


class Encoder(Protocol):
    """Turns the values of a column into ids or numbers, as a `Tokenizer` does."""

    @property
    def fingerprint(self) -> str:
        """A hash of everything that determines the ids."""

    def encode(self, values: Sequence[Any]) -> Sequence[np.ndarray]:
        """Returns the ids of each value, each `(length,)`."""


class Truncated:
    """Encodes as another encoder does, but keeps only the first `maximum_length` ids of a value."""

    def __init__(self, encoder: Encoder, maximum_length: int) -> None:
        self.encoder, self.maximum_length = encoder, maximum_length

    @property
    def fingerprint(self) -> str:
        """A hash of everything that determines the ids."""
        return f"{self.encoder.fingerprint} {self.maximum_length}"

    def encode(self, values: Sequence[Any]) -> list[np.ndarray]:
        """Returns the ids of each value, each `(length,)`."""
        return [ids[: self.maximum_length] for ids in self.encoder.encode(values)]


class ColumnSpec(NamedTuple):
    """How a column is made from records."""

    field: str
    """The field of the records."""
    encoder: Encoder
    """Turns the field's value into ids or numbers."""
    maximum_length: int | None = None
    """Longer rows are left out; `None` keeps all."""
    dtype: type = np.int32
    """Dtype of the ids or numbers: `np.int32` or `np.float32`."""
    may_be_empty: bool = False
    """Whether a row of length 0 is kept."""
    empty: str = "empty"
    """What a row of length 0 is called in the log."""
    is_target: bool = False
    """Whether the column is the target, and no part of the input."""


@dataclasses.dataclass
class StoreReport:
    """Counts of the records that were kept and left out.

    Attributes:
        records: The number of records.
        rows: The number of those that were kept.
        left_out: The number of those that were left out, by reason.
        places: The places of the first few of these, by reason.
    """

    records: int = 0
    rows: int = 0
    left_out: dict[str, int] = dataclasses.field(default_factory=dict)
    places: dict[str, list[str]] = dataclasses.field(default_factory=dict)

    def leave_out(self, reason: str, place: str) -> None:
        """Counts a record that is left out."""
        self.left_out[reason] = self.left_out.get(reason, 0) + 1
        first = self.places.setdefault(reason, [])
        if len(first) < _SHOWN_PLACES:
            first.append(place)

    def __str__(self) -> str:
        parts = [f"{self.rows:,} of {self.records:,} records kept"]
        for reason, count in sorted(self.left_out.items()):
            first = self.places[reason]
            more = ", ..." if count > len(first) else ""
            parts.append(f"{count:,} {reason} ({', '.join(first)}{more})")
        return "; ".join(parts)


class RaggedColumn(NamedTuple):
    """Rows of different lengths, stored one after the other."""

    offsets: np.ndarray
    """int64 `(rows + 1,)`: row i is `tokens[offsets[i]:offsets[i + 1]]`."""
    tokens: np.ndarray
    """int32 or float32 `(tokens,)`."""


class TokenStore:
    """Tokenised records, read from disk when they are needed.

    Args:
        directory: A folder that `build` or `cached` has written.

    Attributes:
        report: Counts of the records that were kept and left out.
        columns: The columns, by name.
        lengths: The length of each row in each column, int32 `(rows, columns)`.
        hashes: A hash of each row's content, uint64 `(rows,)`.
        input_hashes: A hash of its content without the targets, uint64 `(rows,)`.

    Raises:
        UserError: If the store is damaged.

    Example:
        >>> store = TokenStore.cached(
        ...     dataset.fingerprint("train"),
        ...     lambda: dataset.records("train"),
        ...     {"source": ColumnSpec("source", english), "target": ColumnSpec("target", german)},
        ... )
        >>> ids, lengths = store.padded("source", np.arange(64))
    """

    def __init__(self, directory: Path) -> None:
        try:
            content = json.loads((directory / "store.json").read_text(encoding="utf-8"))
            self.report = StoreReport(**content["report"])
            self.columns = {
                name: RaggedColumn(
                    _mapped(directory / f"{name}.offsets", np.int64),
                    _mapped(directory / f"{name}.tokens", np.dtype(dtype)),
                )
                for name, dtype in content["columns"].items()
            }
            self.hashes = _mapped(directory / "hashes", np.uint64)
            self.input_hashes = _mapped(directory / "input_hashes", np.uint64)
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise UserError(f"The data in {directory} are damaged ({error}).") from error
        self.lengths = np.stack(
            [np.diff(column.offsets) for column in self.columns.values()], axis=1
        ).astype(np.int32)

    def __len__(self) -> int:
        return len(self.hashes)

    def padded(self, column: str, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Returns rows of a column, padded with zeros on the right, and their lengths.

        Args:
            column: The name of the column.
            rows: Row indices, `(rows,)`.

        Returns:
            The ids `(rows, length)`, and the lengths, int32 `(rows,)`.
        """
        offsets, tokens = self.columns[column]
        starts = offsets[rows]
        lengths = offsets[rows + 1] - starts
        steps = np.arange(lengths.max(initial=0))
        real = steps < lengths[:, None]
        ids = np.zeros(real.shape, dtype=tokens.dtype)
        ids[real] = tokens[(starts[:, None] + steps)[real]]
        return ids, lengths.astype(np.int32)

    @classmethod
    def cached(
        cls,
        fingerprint: str,
        records: Callable[[], Iterable[Mapping[str, Any]]],
        columns: Mapping[str, ColumnSpec],
        cache: Path | None = None,
    ) -> "TokenStore":
        """Opens the cached store of these records and columns, or builds it.

        Args:
            fingerprint: A hash of the content of the records.
            records: Returns the records; called only to build.
            columns: How each column is made.
            cache: The folder of all stores; `None` for `$XDG_CACHE_HOME/seq2seq/tokens`.

        Raises:
            UserError: If no record is left, or the records are faulty.
        """
        parts = [_FORMAT_VERSION, fingerprint]
        for name, spec in columns.items():
            parts += [name, spec.field, spec.encoder.fingerprint, spec.maximum_length]
            parts += [np.dtype(spec.dtype).name, spec.may_be_empty, spec.empty, spec.is_target]
        key = hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:32]
        root = cache_directory() / "tokens" if cache is None else cache
        return cls(ensure_directory(root / key, lambda path: build(records(), columns, path)))


def build(
    records: Iterable[Mapping[str, Any]], columns: Mapping[str, ColumnSpec], directory: Path
) -> StoreReport:
    """Writes a store into an empty folder, leaving out records that are empty or too long.

    Raises:
        UserError: If no record is left, or a record lacks a field.
    """
    report = StoreReport()
    with _Writer(directory, columns) as writer:
        for chunk in chunks(records, _CHUNK):
            writer.write(chunk, report)
    if report.rows == 0:
        raise UserError(
            f"No record is left to use: {report}. Look at the data, or raise the maximum lengths."
        )
    content = {
        "version": _FORMAT_VERSION,
        "columns": {name: np.dtype(spec.dtype).name for name, spec in columns.items()},
        "report": dataclasses.asdict(report),
    }
    (directory / "store.json").write_text(json.dumps(content, indent=1), encoding="utf-8")
    return report


class _Writer:
    """Writes the files of a store, chunk by chunk."""

    def __init__(self, directory: Path, columns: Mapping[str, ColumnSpec]) -> None:
        self._columns = columns
        self._directory = directory
        self._ends = dict.fromkeys(columns, 0)
        self._files: dict[str, IO[bytes]] = {}
        specs = columns.values()
        self._fields = {
            "hashes": [spec.field for spec in specs],
            "input_hashes": list(dict.fromkeys(s.field for s in specs if not s.is_target)),
        }

    def __enter__(self) -> "_Writer":
        for name in self._columns:
            for part in (f"{name}.offsets", f"{name}.tokens"):
                self._files[part] = (self._directory / part).open("wb")
            np.zeros(1, np.int64).tofile(self._files[f"{name}.offsets"])
        for name in self._fields:
            self._files[name] = (self._directory / name).open("wb")
        return self

    def __exit__(self, *error: object) -> None:
        for file in self._files.values():
            file.close()

    def write(self, chunk: Sequence[Mapping[str, Any]], report: StoreReport) -> None:
        """Tokenises records and appends those that are kept."""
        encoded = {
            name: _encoded(spec, [_value(record, name, spec) for record in chunk], chunk, report)
            for name, spec in self._columns.items()
        }
        rows_kept = [
            index
            for index, record in enumerate(chunk)
            if self._accepts(
                record, {name: len(rows[index]) for name, rows in encoded.items()}, report
            )
        ]
        for name, rows in encoded.items():
            self._append(name, [rows[index] for index in rows_kept])
        for name, fields in self._fields.items():
            hashes = [_content_hash(chunk[index], fields) for index in rows_kept]
            np.array(hashes, dtype=np.uint64).tofile(self._files[name])

    def _accepts(
        self, record: Mapping[str, Any], lengths: Mapping[str, int], report: StoreReport
    ) -> bool:
        report.records += 1
        place = place_of(record, report.records)
        for name, spec in self._columns.items():
            value = record[spec.field]
            blank = isinstance(value, str) and is_blank(value)
            if (lengths[name] == 0 or blank) and not spec.may_be_empty:
                report.leave_out(spec.empty, place)
                return False
        for name, spec in self._columns.items():
            if spec.maximum_length is not None and lengths[name] > spec.maximum_length:
                report.leave_out("too long", place)
                return False
        report.rows += 1
        return True

    def _append(self, name: str, rows: list[np.ndarray]) -> None:
        if not rows:
            return
        dtype = self._columns[name].dtype
        np.concatenate(rows).astype(dtype).tofile(self._files[f"{name}.tokens"])
        ends = self._ends[name] + np.cumsum([len(row) for row in rows], dtype=np.int64)
        ends.tofile(self._files[f"{name}.offsets"])
        self._ends[name] = int(ends[-1])


def _value(record: Mapping[str, Any], column: str, spec: ColumnSpec) -> Any:
    try:
        return record[spec.field]
    except KeyError:
        raise UserError(
            f"The column {column} needs the field {spec.field!r}; the records have "
            f"{', '.join(record)}."
        ) from None


def _encoded(
    spec: ColumnSpec, values: Sequence[Any], chunk: Sequence[Mapping[str, Any]], report: StoreReport
) -> Sequence[np.ndarray]:
    """Returns the ids of values; raises UserError if one is not a text where texts are needed."""
    try:
        return spec.encoder.encode(values)
    except TypeError:
        for number, (value, record) in enumerate(zip(values, chunk, strict=True), start=1):
            if not isinstance(value, str):
                place = place_of(record, report.records + number)
                raise UserError(
                    f"{place}: the field {spec.field!r} needs a text, not {value!r:.80}."
                ) from None
        raise


def _content_hash(record: Mapping[str, Any], fields: Sequence[str]) -> int:
    """Returns 64 bits that depend on the content of a row alone, not on its position."""
    values = (record[field] for field in fields)
    texts = (value if isinstance(value, str) else json.dumps(value) for value in values)
    content = "\0".join(texts).encode()
    return int.from_bytes(hashlib.blake2b(content, digest_size=8).digest())


def _mapped(path: Path, dtype: type | np.dtype) -> np.ndarray:
    # A plain array: slicing a memmap is slow.
    return np.asarray(np.memmap(path, dtype=dtype, mode="r"))


def shared_inputs(stores: Mapping[str, TokenStore]) -> dict[tuple[str, str], int]:
    """Counts the rows of each split whose input also occurs in an earlier split.

    Args:
        stores: The splits by name, `train` first.

    Returns:
        The number of rows by the names of both splits, the later one first.
    """
    return {
        (later, earlier): int(
            np.isin(stores[later].input_hashes, stores[earlier].input_hashes).sum()
        )
        for earlier, later in itertools.combinations(stores, 2)
    }


def report_shared_inputs(stores: Mapping[str, TokenStore]) -> None:
    """Warns of inputs that occur in two splits: a model may have memorised them in training."""
    parts = [
        f"{count:,} of {len(stores[later]):,} of {later} stand in {earlier}"
        for (later, earlier), count in shared_inputs(stores).items()
        if count
    ]
    if parts:
        log.warning("inputs in two splits: %s", "; ".join(parts))
