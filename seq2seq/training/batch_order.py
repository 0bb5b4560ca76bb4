"""The order of the training batches of each epoch."""

from collections.abc import Callable, Iterator, Sequence

import numpy as np


class BatchOrder:
    """The order of the batches, a pure function of the epoch, so that a run can be resumed.

    Iterating yields the rows of each batch of the current epoch, from `first_step` on.

    Args:
        plan: Returns an epoch's batches, each an array of row numbers.
        tokens: Returns the number of target tokens, without padding, of some rows.
    """

    def __init__(
        self,
        plan: Callable[[int], Sequence[np.ndarray]],
        tokens: Callable[[np.ndarray], int],
    ) -> None:
        self.plan, self.tokens = plan, tokens
        self.batches: Sequence[np.ndarray] = []
        self.first_step = 0

    def begin(self, epoch: int, first_step: int) -> None:
        """Sets the epoch of the next iteration, and its first step."""
        self.batches, self.first_step = self.plan(epoch), first_step

    def __iter__(self) -> Iterator[np.ndarray]:
        return iter(self.batches[self.first_step :])

    def __len__(self) -> int:
        """Returns the number of batches of the whole epoch."""
        return len(self.batches)

    def step_tokens(self, step: int) -> int:
        """Returns the number of target tokens of one step of the epoch."""
        return self.tokens(self.batches[step])
