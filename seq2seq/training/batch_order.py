"""The order of the training batches of each epoch, and how they are divided among workers."""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np


@dataclass(frozen=True)
class Division:
    """How the batches of an epoch are divided into steps, and each batch among workers."""

    batches: int = 1
    """The batches of a step, whose gradients are summed."""
    shards: int = 1
    """Into how many parts the rows of each batch are divided."""
    own: range = range(1)
    """The shards that this process computes."""


class Part(NamedTuple):
    """The rows of a batch that are computed together."""

    rows: np.ndarray
    is_real: bool = True
    """False if it only takes the place of a part without rows, and does not count."""


class BatchOrder:
    """The order of the batches, a pure function of the epoch, so that a run can be resumed.

    Iterating yields the rows of each part of the current epoch, from `first_step` on: those of each
    batch, if nothing is divided.

    Args:
        plan: Returns an epoch's batches, each an array of row numbers.
        tokens: Returns the number of target tokens, without padding, of some rows.
        unit: What it counts, such as `tokens` or `values`.

    Attributes:
        division: How the batches are divided; set it before a training.
    """

    def __init__(
        self,
        plan: Callable[[int], Sequence[np.ndarray]],
        tokens: Callable[[np.ndarray], int],
        unit: str = "tokens",
    ) -> None:
        self.plan, self.tokens, self.unit = plan, tokens, unit
        self.batches: Sequence[np.ndarray] = []
        self.first_step = 0
        self.division = Division()

    def begin(self, epoch: int, first_step: int) -> None:
        """Sets the epoch of the next iteration, and its first step."""
        self.batches, self.first_step = self.plan(epoch), first_step

    def parts(self) -> list[Part]:
        """Returns the parts of this process: of each step, of each shard, one of each batch.

        Shard i of n has the rows i, i + n, i + 2 n, ...: so row i of a batch is in the shard of row
        i of the batch before. The last step of an epoch is filled up.
        """
        parts = []
        for step in range(self.first_step, len(self)):
            batches = self._of_step(step)
            filler = Part(batches[-1][:1], is_real=False)
            for shard in self.division.own:
                for rows in batches:
                    own = rows[shard :: self.division.shards]
                    parts.append(Part(own) if len(own) else filler)
                parts += [filler] * (self.division.batches - len(batches))
        return parts

    def __iter__(self) -> Iterator[np.ndarray]:
        return (part.rows for part in self.parts())

    def __len__(self) -> int:
        """Returns the number of steps of the whole epoch."""
        return math.ceil(len(self.batches) / self.division.batches)

    def step_tokens(self, step: int) -> int:
        """Returns the number of target tokens of one step of the epoch."""
        return sum(self.tokens(rows) for rows in self._of_step(step))

    def _of_step(self, step: int) -> Sequence[np.ndarray]:
        size = self.division.batches
        return self.batches[step * size : (step + 1) * size]
