"""Measures the data of a recipe before training: what a model would see, and what is wrong."""

import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from omegaconf import DictConfig

from seq2seq.config import build_as
from seq2seq.data.batching import Batching, padding_share
from seq2seq.data.dataset import SPLITS, Dataset
from seq2seq.data.near_duplicates import InputHashes
from seq2seq.data.token_store import ColumnSpec, TokenStore, Truncated
from seq2seq.data.tokenizers.tokenizer import UNKNOWN
from seq2seq.data.wrong_encoding import WrongEncoding, wrong_encoding
from seq2seq.tasks.base import Task
from seq2seq.tasks.initial_weights import saved_tokenizers
from seq2seq.tasks.model_folder import build_task

PERCENTILES = (0, 50, 90, 99, 100)

LEAST_SCORED = 100
"""Records of validation or test below which the report says how coarse scores are."""

MOST_DUPLICATES, MOST_UNKNOWN, MOST_PADDING = 0.01, 0.05, 0.3
"""Shares of records, tokens and cells of a batch beyond which the report names a problem."""


@dataclass(frozen=True)
class SplitMeasures:
    """The measures of a split.

    Attributes:
        records: The number of records.
        used: How many of them are trained on or evaluated.
        left_out: Why the others are not.
        duplicates: How many used records repeat an earlier one, target included.
        other_targets: How many used records repeat an input with another target.
        shared_inputs: How many used records have an input that an earlier split has.
        shared_records: How many used records an earlier split has.
        near_duplicates: How many different inputs of texts are like another one but for case,
            punctuation and white space.
        near_shared: How many inputs of texts are like one of an earlier split in this way only.
        wrong_encoding: The records with characters that a wrong encoding leaves.
        length_counts: How many rows of each column have the length 0, 1, ...
        lengths: The percentiles `PERCENTILES` of the lengths of each column, in tokens; of series
            in steps and in windows.
        cut: How many rows of each column are longer than the limit; in the split `train`, they are
            left out where the task does not truncate.
        unknown: The share of unknown tokens in each column.
        labels: How often each label occurs.
    """

    records: int
    used: int
    left_out: str
    duplicates: int
    other_targets: int
    shared_inputs: int
    shared_records: int
    near_duplicates: int
    near_shared: int
    wrong_encoding: WrongEncoding
    length_counts: dict[str, np.ndarray]
    lengths: dict[str, list[int]]
    cut: dict[str, int]
    unknown: dict[str, float]
    labels: dict[str, int]


@dataclass(frozen=True)
class DataMeasures:
    """The measures of a recipe's data.

    Attributes:
        name: The name of the data.
        source: Where they come from.
        splits: The measures of each split.
        batches: The number of training batches in an epoch.
        padding: The share of padding in them; None for windows of documents.
        warnings: What reading and encoding the data has warned of.
        remarks: What was done about the data, such as filled values.
    """

    name: str
    source: str
    splits: dict[str, SplitMeasures]
    batches: int
    padding: float | None
    warnings: list[str] = field(default_factory=list)
    remarks: list[str] = field(default_factory=list)

    def problems(self) -> list[str]:
        """Returns a sentence for each problem, the most harmful first."""
        problems = []
        for split, measures in self.splits.items():
            if measures.shared_inputs:
                problems.append(
                    f"{split}: {measures.shared_inputs:,} of {measures.used:,} inputs are also in "
                    f"an earlier split, {measures.shared_records:,} with the same target"
                )
            if measures.near_shared:
                problems.append(
                    f"{split}: {measures.near_shared:,} of {measures.records:,} inputs are "
                    "near-duplicates of those of an earlier split"
                )
        problems += self.warnings
        for split, measures in self.splits.items():
            if measures.wrong_encoding.records:
                problems.append(
                    f"{split}: {measures.wrong_encoding.records:,} of {measures.records:,} records "
                    "have characters of a wrong encoding, such as "
                    f"{measures.wrong_encoding.example!r}"
                )
            if measures.left_out:
                problems.append(f"{split}: {measures.left_out}")
            for column, count in measures.cut.items():
                problems.append(
                    f"{split}: {count:,} of {measures.used:,} in {column} are cut, too long"
                )
            if measures.duplicates > MOST_DUPLICATES * measures.used:
                share = measures.duplicates / measures.used
                problems.append(f"{split}: {share:.1%} of the records repeat an earlier one")
            for column, share in measures.unknown.items():
                if share > MOST_UNKNOWN:
                    problems.append(f"{split}: {share:.1%} unknown tokens in {column}")
            if split != "train" and self.padding is not None and measures.used < LEAST_SCORED:
                problems.append(
                    f"{split}: {measures.used:,} records are few; one of them changes an accuracy "
                    f"by {1 / max(measures.used, 1):.1%}"
                )
        if self.padding is not None and self.padding > MOST_PADDING:
            problems.append(f"batches: {self.padding:.1%} padding; raise batching.pool_size")
        return problems


def check_data(config: DictConfig) -> DataMeasures:
    """Reads, encodes and measures the data of a config, as training does.

    Raises:
        UserError: If the data cannot be used.
    """
    data = build_as(config, "data", Dataset)  # type: ignore[type-abstract]
    task = build_task(config)
    initial = None if config.init_from is None else Path(config.init_from).expanduser()
    with _collected_warnings() as warnings:
        task.prepare(data, config.seed, saved_tokenizers(initial, config.init_tokenizers))
    measures, earlier = dict[str, SplitMeasures](), list[tuple[TokenStore, InputHashes]]()
    for split in SPLITS:
        hashes = _input_hashes(data, task, split)
        measures[split] = _measured(data, task, split, hashes, earlier)
        earlier.append((task.stores[split], hashes))
    padding = None
    if isinstance(task.batching, Batching):
        padding = padding_share(task.lengths(task.stores["train"]), task.batch_order)
    # Leaks are measured here, by target, too.
    others = [text for text in warnings if not text.startswith("inputs in two splits")]
    return DataMeasures(**data.describe(), splits=measures, batches=len(task.batch_order),
                        padding=padding, warnings=others, remarks=data.remarks())  # fmt: skip


def _input_hashes(data: Dataset, task: Task[Any, Any], split: str) -> InputHashes:
    """Returns hashes of the texts that the model reads."""
    fields = {spec.field for spec in task.columns(split).values() if not spec.is_target}
    return InputHashes.of(data.records(split), sorted(fields))


def _measured(
    data: Dataset,
    task: Task[Any, Any],
    split: str,
    hashes: InputHashes,
    earlier: list[tuple[TokenStore, InputHashes]],
) -> SplitMeasures:
    store, columns = task.stores[split], task.columns(split)
    whole = TokenStore.cached(
        data.fingerprint(split), lambda: data.records(split), _without_limits(columns)
    )
    distinct, inputs = np.unique(store.hashes), np.unique(store.input_hashes)
    lengths = task.measured_lengths(whole)
    report = store.report
    return SplitMeasures(
        records=report.records,
        used=report.rows,
        left_out=str(report).partition("; ")[2],
        duplicates=len(store) - len(distinct),
        other_targets=len(distinct) - len(inputs),
        shared_inputs=_shared(store.input_hashes, [other.input_hashes for other, _ in earlier]),
        shared_records=_shared(store.hashes, [other.hashes for other, _ in earlier]),
        near_duplicates=hashes.near_duplicates,
        near_shared=hashes.near_shared([other for _, other in earlier]),
        wrong_encoding=wrong_encoding(data.records(split)),
        length_counts={name: np.bincount(values) for name, values in lengths.items()},
        lengths={
            name: np.percentile(values, PERCENTILES, method="nearest").astype(int).tolist()
            for name, values in lengths.items()
        },
        cut=_cut(columns, lengths),
        unknown={
            name: float(np.mean(store.columns[name].tokens == UNKNOWN))
            for name in task.sorted_by
            if columns[name].dtype is np.int32
        },
        labels=_labels(task, store, columns),
    )


def _without_limits(columns: Mapping[str, ColumnSpec]) -> dict[str, ColumnSpec]:
    """Returns columns that leave nothing out, and cut nothing, for its length."""
    return {
        name: spec._replace(
            encoder=spec.encoder.encoder if isinstance(spec.encoder, Truncated) else spec.encoder,
            maximum_length=None,
        )
        for name, spec in columns.items()
    }


def _cut(columns: Mapping[str, ColumnSpec], lengths: Mapping[str, np.ndarray]) -> dict[str, int]:
    """Returns how many rows of each column are cut; those left out are in the store's report."""
    counts = {
        name: int(np.sum(values > encoder.maximum_length))
        for name, values in lengths.items()
        if name in columns and isinstance(encoder := columns[name].encoder, Truncated)
    }
    return {name: count for name, count in counts.items() if count}


def _shared(hashes: np.ndarray, earlier: list[np.ndarray]) -> int:
    return int(np.isin(hashes, np.concatenate(earlier)).sum()) if earlier else 0


def _labels(
    task: Task[Any, Any], store: TokenStore, columns: Mapping[str, ColumnSpec]
) -> dict[str, int]:
    """Returns how often each label occurs, in the order of their ids; empty without labels."""
    names = task.label_names()
    [target] = [name for name, spec in columns.items() if spec.is_target] if names else [""]
    if not names:
        return {}
    ids = store.columns[target].tokens
    counts = np.bincount(ids[ids >= 0], minlength=len(names))
    return dict(zip(names, counts.tolist(), strict=True))


@contextmanager
def _collected_warnings() -> Iterator[list[str]]:
    """Collects what reading and encoding data warn of, instead of printing it."""
    texts: list[str] = []

    class Collector(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            texts.append(record.getMessage())

    handler = Collector(logging.WARNING)
    loggers = [logging.getLogger(name) for name in ("seq2seq.data", "seq2seq.tasks")]
    for logger in loggers:
        logger.addHandler(handler)
        logger.propagate = False
    try:
        yield texts
    finally:
        for logger in loggers:
            logger.removeHandler(handler)
            logger.propagate = True
