"""The matrix products that a training step cannot do without, forward and backward."""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np

from benchmarks.batches import Batch, padding
from benchmarks.works import Work


class Shape(NamedTuple):
    """`stack` products of `(m, k)` by `(k, n)` matrices, as they lie in memory.

    Attributes:
        stack: How many are multiplied in one call.
        m: Rows of the first matrix.
        k: Columns of the first and rows of the second.
        n: Columns of the second.
        transpose_a: Whether the first lies transposed.
        transpose_b: Whether the second lies transposed.
    """

    stack: int
    m: int
    k: int
    n: int
    transpose_a: bool = False
    transpose_b: bool = False

    @property
    def operations(self) -> int:
        """Multiplications and additions of one call."""
        return 2 * self.stack * self.m * self.k * self.n


class Product(NamedTuple):
    """One product of the model.

    Attributes:
        name: What it is for.
        shape: The shape it is measured at.
        times: How many such calls a step is worth: real tokens only, so it may be a fraction.
    """

    name: str
    shape: Shape
    times: float


class Sizes(NamedTuple):
    """Means over the batches of a work, of real tokens.

    Attributes:
        rows: Rows of a batch.
        source: Source tokens.
        target: Target tokens, 0 without a target.
        pairs: Pairs of a source and a target token of the same row.
        padding: Share of padding among all cells, source and target together.
    """

    rows: int
    source: float
    target: float
    pairs: float
    padding: float


def mean_sizes(batches: Sequence[Batch]) -> Sizes:
    """Measures batches."""
    sources = np.array([batch["source_length"] for batch in batches], dtype=np.int64)
    targets = np.array(
        [np.count_nonzero(batch.get("target", batch["source"][:, :0]), axis=1) for batch in batches]
    )
    source, target, pairs = (
        float(each.sum(1).mean()) for each in (sources, targets, sources * targets)
    )
    return Sizes(sources.shape[1], source, target, pairs, padding(batches))


def products(work: Work, sizes: Sizes) -> list[Product]:
    """Returns all products of a work."""
    width = work.encoder_width
    found: list[Product] = []
    for direction in ("forward", "backward")[: 1 + work.bidirectional]:
        found += _lstm(f"encoder {direction}", sizes.rows, sizes.source, work.embedding, work.units)
    reading = {"translation": sizes.target, "classification": sizes.rows}.get(
        work.task, sizes.source
    )
    if work.task == "translation":
        found += _lstm("decoder", sizes.rows, sizes.target, work.embedding, width)
    if work.attention:
        found += _attention(sizes, width)
        found += _dense("attention projection", sizes.target, 2 * width, width)
    found += _dense("output layer", reading, width, work.outputs)
    return found


def _dense(name: str, tokens: float, inputs: int, outputs: int) -> Iterator[Product]:
    m = round(tokens)
    times = tokens / m
    yield Product(f"{name}: outputs", Shape(1, m, inputs, outputs), times)
    yield Product(f"{name}: input gradient", Shape(1, m, outputs, inputs, False, True), times)
    yield Product(f"{name}: weight gradient", Shape(1, inputs, m, outputs, True, False), times)


def _lstm(name: str, rows: int, tokens: float, inputs: int, units: int) -> Iterator[Product]:
    """A step multiplies the state of all rows; all that can wait is done at once for all steps."""
    m, steps = round(tokens), tokens / rows
    yield from _dense(f"{name}, inputs", tokens, inputs, 4 * units)
    yield Product(f"{name}, step: outputs", Shape(1, rows, units, 4 * units), steps)
    yield Product(
        f"{name}, step: state gradient", Shape(1, rows, 4 * units, units, False, True), steps
    )
    yield Product(
        f"{name}, steps: weight gradient", Shape(1, units, m, 4 * units, True, False), tokens / m
    )


def _attention(sizes: Sizes, width: int) -> Iterator[Product]:
    source, target = round(sizes.source / sizes.rows), round(sizes.target / sizes.rows)
    shapes = {
        "scores": Shape(sizes.rows, target, width, source, False, True),
        "context": Shape(sizes.rows, target, source, width),
        "output gradient": Shape(sizes.rows, target, source, width),
        "memory gradient of scores": Shape(sizes.rows, source, target, width, True, False),
        "weight gradient": Shape(sizes.rows, target, width, source, False, True),
        "memory gradient of context": Shape(sizes.rows, source, target, width, True, False),
    }
    for name, shape in shapes.items():
        times = sizes.pairs / (sizes.rows * source * target)
        yield Product(f"attention: {name}", shape, times)
