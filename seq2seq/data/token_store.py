"""Tokenised records as memory-mapped columns, computed once and cached on disk."""

import dataclasses
import hashlib
import itertools
import json
import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import numpy as np

from seq2seq import progress
from seq2seq.cache import cache_directory, ensure_directory
from seq2seq.data.formats.text_files import is_blank
from seq2seq.data.records import SHOWN_PLACES, chunks, field_value, first_places, hash64, place_of
from seq2seq.errors import UserError

log = logging.getLogger(__name__)

_FORMAT_VERSION = 4
_CHUNK_SIZE = 8192


class Encoder(Protocol):
    """Turns the values of a column into ids or numbers, as a `Tokenizer` does."""

    @property
    def fingerprint(self) -> str:
        """A hash of everything that determines the ids."""

    def encode(self, values: Sequence[Any]) -> Sequence[np.ndarray]:
        """Returns the ids of each value, each `(length,)`."""


class Truncated:
    """An encoder whose results are truncated to the first `maximum_length` ids."""

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
    """The definition of a column."""

    field: str
    """The field of the records."""
    encoder: Encoder
    """Turns the field's value into ids or numbers."""
    maximum_length: int | None = None
    """Records with longer rows are dropped; `None` is unlimited."""
    dtype: type = np.int32
    """Dtype of the ids or numbers: `np.int32` or `np.float32`."""
    may_be_empty: bool = False
    """Whether records with rows of length 0 stay."""
    empty: str = "empty"
    """The reason in the log for dropping a row of length 0."""
    is_target: bool = False
    """Whether the column is the target, and no part of the input."""


@dataclasses.dataclass
class StoreReport:
    """Counts of stored and dropped records; the fields are saved in `store.json`."""

    records: int = 0
    """All records."""
    rows: int = 0
    """The stored ones."""
    left_out: dict[str, int] = dataclasses.field(default_factory=dict)
    """The dropped ones, by reason."""
    places: dict[str, list[str]] = dataclasses.field(default_factory=dict)
    """The places of the first few dropped ones, by reason."""

    def drop(self, reason: str, place: str) -> None:
        """Counts a dropped record."""
        self.left_out[reason] = self.left_out.get(reason, 0) + 1
        places = self.places.setdefault(reason, [])
        if len(places) < SHOWN_PLACES:
            places.append(place)

    def __str__(self) -> str:
        parts = [f"{self.rows:,} of {self.records:,} records kept"]
        for reason, count in sorted(self.left_out.items()):
            parts.append(f"{count:,} {reason} ({first_places(self.places[reason], count)})")
        return "; ".join(parts)


class RaggedColumn(NamedTuple):
    """Rows of different lengths, concatenated."""

    offsets: np.ndarray
    """int64 `(rows + 1,)`: row i is `tokens[offsets[i]:offsets[i + 1]]`."""
    tokens: np.ndarray
    """int32 or float32 `(tokens,)`."""


class TokenStore:
    """Tokenised records, read from disk on demand.

    Args:
        directory: A folder that `build` or `cached` has written.

    Attributes:
        report: Counts of stored and dropped records.
        columns: The columns, by name.
        lengths: The length of each row in each column, int32 `(rows, columns)`.
        hashes: A hash of each row's content, uint64 `(rows,)`.
        input_hashes: A hash of each row's content without the targets, uint64 `(rows,)`.

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
        """Returns rows by their indices, right-padded with 0, `(rows, length)`, and their lengths.

        The lengths are int32 `(rows,)`.
        """
        offsets, tokens = self.columns[column]
        starts = offsets[rows]
        lengths = offsets[rows + 1] - starts
        steps = np.arange(lengths.max(initial=0))
        mask = steps < lengths[:, None]
        ids = np.zeros(mask.shape, dtype=tokens.dtype)
        ids[mask] = tokens[(starts[:, None] + steps)[mask]]
        return ids, lengths.astype(np.int32)

    @classmethod
    def cached(
        cls,
        fingerprint: str,
        records: Callable[[], Iterable[Mapping[str, Any]]],
        columns: Mapping[str, ColumnSpec],
        cache: Path | None = None,
    ) -> "TokenStore":
        """Opens the cached store of records and columns; builds it if there is none.

        Args:
            fingerprint: A hash of the content of the records.
            records: Returns the records; called only to build.
            columns: The columns, by name.
            cache: The folder of all stores; `None` for `$XDG_CACHE_HOME/seq2seq/tokens`.

        Raises:
            UserError: If no record remains, or the records are faulty.
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
    """Writes a store into an empty folder, without records that are empty or too long."""
    report = StoreReport()
    with ExitStack() as open_files:
        writer = _Writer(directory, columns, open_files)
        for chunk in chunks(records, _CHUNK_SIZE):
            writer.write(chunk, report)
            progress.report(report.records)
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

    def __init__(
        self, directory: Path, columns: Mapping[str, ColumnSpec], open_files: ExitStack
    ) -> None:
        self._columns = columns
        self._ends = dict.fromkeys(columns, 0)
        specs = columns.values()
        self._hashed_fields = {
            "hashes": [spec.field for spec in specs],
            "input_hashes": list(dict.fromkeys(s.field for s in specs if not s.is_target)),
        }
        names = [f"{name}.{part}" for name in columns for part in ("offsets", "tokens")]
        self._files = {
            name: open_files.enter_context((directory / name).open("wb"))
            for name in (*names, *self._hashed_fields)
        }
        for name in columns:
            np.zeros(1, np.int64).tofile(self._files[f"{name}.offsets"])

    def write(self, chunk: Sequence[Mapping[str, Any]], report: StoreReport) -> None:
        """Tokenises records and appends those that are neither empty nor too long."""
        encoded = {name: _encode(name, spec, chunk, report) for name, spec in self._columns.items()}
        accepted = []
        for index, record in enumerate(chunk):
            lengths = {name: len(rows[index]) for name, rows in encoded.items()}
            if self._accepts(record, lengths, report):
                accepted.append(index)
        for name, rows in encoded.items():
            self._append(name, [rows[index] for index in accepted])
        for name, fields in self._hashed_fields.items():
            hashes = [_content_hash(chunk[index], fields) for index in accepted]
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
                report.drop(spec.empty, place)
                return False
        for name, spec in self._columns.items():
            if spec.maximum_length is not None and lengths[name] > spec.maximum_length:
                report.drop("too long", place)
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


def _encode(
    column: str, spec: ColumnSpec, chunk: Sequence[Mapping[str, Any]], report: StoreReport
) -> Sequence[np.ndarray]:
    """Returns the ids of a column; raises UserError if a record lacks its field, or a text."""
    values = [field_value(record, spec.field, f"The column {column}") for record in chunk]
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
    values = (record[field] for field in fields)
    return hash64("\0".join(v if isinstance(v, str) else json.dumps(v) for v in values))


def _mapped(path: Path, dtype: type | np.dtype) -> np.ndarray:
    # As a plain array, since slicing a memmap is slow.
    return np.asarray(np.memmap(path, dtype=dtype, mode="r"))


def shared_inputs(stores: Mapping[str, TokenStore]) -> dict[tuple[str, str], int]:
    """Counts the rows of each split whose input occurs in an earlier one, by (later, earlier)."""
    hashes = {split: store.input_hashes for split, store in stores.items()}
    return {
        (later, earlier): int(np.isin(hashes[later], hashes[earlier]).sum())
        for earlier, later in itertools.combinations(stores, 2)
    }


def report_shared_inputs(stores: Mapping[str, TokenStore]) -> None:
    """Logs a warning of inputs that occur in two splits: the model may have memorised them."""
    parts = [
        f"{count:,} of {len(stores[later]):,} in {later} are also in {earlier}"
        for (later, earlier), count in shared_inputs(stores).items()
        if count
    ]
    if parts:
        log.warning("inputs in two splits: %s", "; ".join(parts))
