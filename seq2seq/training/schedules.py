"""Learning rate schedules."""

import math
from typing import Any

import keras

from seq2seq.errors import UserError


class CosineDecay(keras.callbacks.Callback):
    """Cosine decay of the learning rate to zero, after a linear warm-up.

    The optimizer's own learning rate is the peak (Loshchilov & Hutter, 2017,
    https://arxiv.org/abs/1608.03983). Unlike Keras' schedules it depends on the share of
    `trainer.epochs`, or of `trainer.minutes` if that is larger, not on a number of steps.

    Args:
        warmup: Share of the training, in [0, 1), during which the rate rises from zero.
        cycles: How often the rate falls; it then starts again from the peak (warm restarts).
        cycle_growth: The length of each cycle, as a multiple of that before.
        peak_decay: The peak of each cycle, as a multiple of that before.

    Raises:
        ValueError: If an argument is out of range.
    """

    def __init__(
        self,
        warmup: float = 0.0,
        cycles: int = 1,
        cycle_growth: float = 2.0,
        peak_decay: float = 1.0,
    ) -> None:
        super().__init__()
        if not 0 <= warmup < 1:
            raise ValueError(f"warmup: must be at least 0 and below 1, got {warmup!r}")
        if isinstance(cycles, bool) or not isinstance(cycles, int) or cycles < 1:
            raise ValueError(f"cycles: must be a whole number of at least 1, got {cycles!r}")
        for name, value in (("cycle_growth", cycle_growth), ("peak_decay", peak_decay)):
            if not value > 0:
                raise ValueError(f"{name}: must be above 0, got {value!r}")
        self.warmup = warmup
        self.peaks = [peak_decay**cycle for cycle in range(cycles)]
        lengths = [cycle_growth**cycle for cycle in range(cycles)]
        self.lengths = [length / sum(lengths) for length in lengths]

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        """Raises a `UserError` if the optimizer has a schedule of its own."""
        if self.params["learning_rate"] is None:
            raise UserError(
                "optimizer.learning_rate: a schedule does not go with CosineDecay; give a number, "
                "or leave CosineDecay out of trainer.callbacks"
            )

    def on_epoch_begin(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Stores the epoch."""
        self.epoch = epoch

    def on_train_batch_begin(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        """Sets the rate of the step."""
        done = (self.params["first_step"] + batch) / self.params["steps"]
        share = max((self.epoch + done) / self.params["epochs"], self.params["used_time"]())
        self.model.optimizer.learning_rate = self.rate(share)

    def rate(self, share: float) -> float:
        """Returns the rate after this share (0 to 1) of the training."""
        peak = self.params["learning_rate"]
        if share < self.warmup:
            return peak * share / self.warmup
        share = (share - self.warmup) / (1 - self.warmup)
        cycle = 0
        while share >= self.lengths[cycle] and cycle < len(self.lengths) - 1:
            share -= self.lengths[cycle]
            cycle += 1
        return peak * self.peaks[cycle] * (1 + math.cos(math.pi * share / self.lengths[cycle])) / 2
