"""Bucketing by length: batches as a pure function of the data's content, the seed and the epoch.

The stored order of the rows is irrelevant: the same records give the same batches, whether they
come from text files or from a shuffled TFDS folder.
"""

import weakref
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, TypeVar

import numpy as np

from seq2seq.errors import UserError

RowsT = TypeVar("RowsT")

_UNITS = ("sentences", "tokens")
_PREFETCHED_BATCHES = 8


class Batching:
    """Makes batches of rows of similar length.

    For training, all rows are shuffled and cut into pools; each pool is sorted by length and cut
    into batches; then the batches are shuffled. The larger the pool, the less padding.

    Args:
        batch_size: The size of a batch, in units.
        unit: `sentences` (rows) or `tokens` (all cells of the padded arrays, source and target
            together).
        pool_size: How many rows are sorted together.
        maximum_length: Longer rows are left out of training, by column, such as
            `{"source": 100}`; `None` is unlimited.
        curriculum_epochs: The first epochs whose batches go from short to long, instead of being
            shuffled (SortaGrad, Amodei et al., 2016, https://arxiv.org/abs/1512.02595).

    Example:
        >>> batching = Batching(batch_size=64)
        >>> batches = batching.training_batches(store.lengths, store.hashes, seed=0, epoch=3)
        >>> ids, lengths = store.padded("source", batches[0])
    """

    curriculum_epochs = 0
    """An attribute of instances with a curriculum alone: `vars` identifies the order of the batches
    for checkpoints, also those of versions that had no curriculum."""

    def __init__(
        self,
        batch_size: int = 64,
        unit: str = "sentences",
        pool_size: int = 50_000,
        maximum_length: Mapping[str, int | None] | None = None,
        curriculum_epochs: int = 0,
    ) -> None:
        if unit not in _UNITS:
            raise UserError(f"batching.unit={unit} is not one of {', '.join(_UNITS)}.")
        limits = {
            f"maximum_length.{column}": limit
            for column, limit in (maximum_length or {}).items()
            if limit is not None
        }
        for key, value in {"batch_size": batch_size, "pool_size": pool_size, **limits}.items():
            if value < 1:
                raise UserError(f"batching.{key}={value} is below 1.")
        if curriculum_epochs < 0:
            raise UserError(f"batching.curriculum_epochs={curriculum_epochs} is below 0.")
        self.batch_size = batch_size
        self.unit = unit
        self.pool_size = pool_size
        self.maximum_length = dict(maximum_length or {})
        if curriculum_epochs:
            self.curriculum_epochs = curriculum_epochs

    def training_batches(
        self, lengths: np.ndarray, hashes: np.ndarray, seed: int, epoch: int
    ) -> list[np.ndarray]:
        """Returns the batches of an epoch, which together hold each row once.

        Args:
            lengths: The length of each row in each column, `(rows, columns)`; the last column
                (the target) is the first sort key.
            hashes: A hash of each row's content, `(rows,)`.
            seed: Determines the order, together with the epoch.
            epoch: The epoch.

        Returns:
            Arrays of row indices, each `(rows in the batch,)`.
        """
        generator = np.random.default_rng([seed, epoch])
        order = np.argsort(hashes, kind="stable")
        generator.shuffle(order)
        pool_size = self.pool_size
        if self.unit == "sentences":
            # A multiple of the batch size, or each pool would end with a smaller batch.
            pool_size = max(pool_size // self.batch_size, 1) * self.batch_size
        for start in range(0, len(order), pool_size):
            pool = order[start : start + pool_size]
            pool[:] = _sorted_by_length(lengths, pool)
        batches = self._cut(order, lengths)
        if epoch < self.curriculum_epochs:
            return sorted(batches, key=lambda rows: int(lengths[rows].sum(axis=1).max()))
        return [batches[index] for index in generator.permutation(len(batches))]

    def evaluation_batches(self, lengths: np.ndarray, hashes: np.ndarray) -> list[np.ndarray]:
        """Returns batches with every row once, from short to long; see `training_batches`."""
        order = np.argsort(hashes, kind="stable")
        return self._cut(_sorted_by_length(lengths, order), lengths)

    def _cut(self, order: np.ndarray, lengths: np.ndarray) -> list[np.ndarray]:
        if self.unit == "sentences":
            starts = np.arange(self.batch_size, len(order), self.batch_size)
        else:
            starts = np.fromiter(self._token_starts(lengths[order]), dtype=np.int64)
        return np.split(order, starts) if len(order) else []

    def _token_starts(self, lengths: np.ndarray) -> Iterator[int]:
        """Yields where a new batch starts; a row with too many tokens is a batch of its own."""
        start = 0
        while start < len(lengths):
            # No more rows can fit: each is padded to at least the length of the first.
            window = self.batch_size // max(int(lengths[start].sum()), 1) + 1
            longest = np.maximum.accumulate(lengths[start : start + window], axis=0)
            padded = longest.sum(axis=1, dtype=np.int64) * np.arange(1, len(longest) + 1)
            start += max(int(np.searchsorted(padded, self.batch_size, side="right")), 1)
            if start < len(lengths):
                yield start


def _sorted_by_length(lengths: np.ndarray, order: np.ndarray) -> np.ndarray:
    """Returns `order`, sorted by the last column of the lengths, then by the columns before it.

    Each column alternately rises and falls from one value of the next column to the following one,
    so that neighbours have similar lengths in all columns.
    """
    keys: list[np.ndarray] = []
    for column in range(lengths.shape[1]):
        keys = [np.where(lengths[order, column] % 2, key, -key) for key in keys]
        keys.append(lengths[order, column])
    return order[np.lexsort(keys)]


def largest_of(lengths: np.ndarray, batches: Sequence[np.ndarray]) -> int:
    """Returns the index of the batch with the most cells; see `Batching.training_batches`."""
    sizes = np.array([len(rows) for rows in batches])
    starts = np.cumsum(sizes) - sizes
    longest = np.maximum.reduceat(lengths[np.concatenate(batches)], starts, axis=0)
    return int(np.argmax(sizes * longest.sum(axis=1)))


def padding_share(lengths: np.ndarray, batches: Iterable[np.ndarray]) -> float:
    """Returns the share of padding in batches, 0 to 1; arguments as of `training_batches`."""
    tokens = cells = 0
    for rows in batches:
        row_lengths = lengths[rows]
        tokens += int(row_lengths.sum())
        cells += int(row_lengths.max(axis=0).sum()) * len(rows)
    return 1 - tokens / cells if cells else 0.0


def batch_dataset(
    make_batch: Callable[[RowsT], Any],
    batches: Sequence[RowsT],
    output_signature: Any,
) -> Any:
    """Returns a `tf.data.Dataset` that makes its batches in the background, in order.

    Args:
        make_batch: A pure function from row indices, `(rows in the batch,)`, to a structure of
            arrays.
        batches: Arrays of row indices, or whatever else it takes.
        output_signature: The same structure of `tf.TensorSpec`.
    """
    import tensorflow as tf

    specs = tf.nest.flatten(output_signature)

    def flat_batch(index: int) -> list[np.ndarray]:
        return tf.nest.flatten(make_batch(batches[index]))

    # TensorFlow never forgets a function given to `numpy_function`: it must not hold the batches.
    reference = weakref.ref(flat_batch)

    def referenced(index: int) -> list[np.ndarray]:
        made = reference()
        assert made is not None  # the dataset and its iterators hold it
        return made(index)

    @tf.autograph.experimental.do_not_convert
    def batch(index: tf.Tensor) -> Any:
        # Not `from_generator`: with deterministic ops, TensorFlow does not prefetch from stateful
        # ops, so that each step would wait for its batch.
        dtypes = [spec.dtype for spec in specs]
        arrays = tf.numpy_function(referenced, [index], dtypes, stateful=False)
        for array, spec in zip(arrays, specs, strict=True):
            array.set_shape(spec.shape)
        return tf.nest.pack_sequence_as(output_signature, arrays)

    dataset = tf.data.Dataset.range(len(batches)).map(batch)
    dataset.flat_batch = flat_batch
    # Nothing is left to tune, and the thread that tunes may miss the end of its iterator, which
    # then waits for it forever (TensorFlow 2.21, `RootDataset::Iterator::~Iterator`).
    options = tf.data.Options()
    options.autotune.enabled = False
    return dataset.prefetch(_PREFETCHED_BATCHES).with_options(options)
