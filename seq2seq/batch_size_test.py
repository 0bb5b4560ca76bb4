"""Measures how fast a recipe trains, and in how much memory, with batches of several sizes."""

import math
import resource
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import psutil
import tensorflow as tf
from omegaconf import DictConfig

from seq2seq.progress import step
from seq2seq.short_training import ShortTraining, short_training
from seq2seq.training.memory import GIB, step_memory

WARM_UP_STEPS = 2
CLOSE = 0.95
"""A smaller batch is as good if it has this share of the highest speed."""


@dataclass(frozen=True)
class MeasuredSize:
    """What batches of a size cost.

    Attributes:
        size: The value of `batching.batch_size`.
        steps: The steps of an epoch.
        estimate: GiB that the step of the largest batch needs, estimated before it.
        memory: The most GiB that the process, or the GPU, has used so far; NaN if there was not
            enough memory, and nothing was trained.
        speed: Labels a second, without padding; NaN likewise.
    """

    size: int
    steps: int
    estimate: float
    memory: float = math.nan
    speed: float = math.nan

    @property
    def fits(self) -> bool:
        """Whether there was enough memory."""
        return not math.isnan(self.speed)


def measured_sizes(config: DictConfig, sizes: Sequence[int], steps: int) -> Iterator[MeasuredSize]:
    """Trains with each size, from small to large, and yields what it costs; writes nothing.

    The first size for which there is not enough memory is the last one.

    Args:
        config: The config of a run; its `batching.batch_size` is replaced.
        sizes: The sizes, in the unit of `batching`.
        steps: The training steps with each, beside one of the largest batch.

    Raises:
        UserError: If the config or the data cannot be used.
    """
    for size in sorted(sizes):
        config.batching.batch_size = size
        with short_training(config) as training, step(f"training with batches of {size}"):
            measured = _measured(training, size, steps)
        yield measured
        if not measured.fits:
            return


def _measured(training: ShortTraining, size: int, steps: int) -> MeasuredSize:
    task = training.experiment.task
    largest = task.largest_batch()
    estimate, steps_per_epoch = step_memory(training.model, largest), len(task.batch_order)
    on_gpu = bool(tf.config.list_logical_devices("GPU"))
    too_large = MeasuredSize(size, steps_per_epoch, estimate)
    if not on_gpu and estimate > psutil.virtual_memory().available / GIB:
        return too_large  # the system would end the process
    try:
        training.step_on(iter(task.dataset(lambda batch: batch, [largest])))
    except tf.errors.ResourceExhaustedError:
        return too_large
    for _ in range(WARM_UP_STEPS):
        training.step()
    start, labels = time.perf_counter(), training.labels
    for _ in range(steps):
        training.step()
    speed = (training.labels - labels) / (time.perf_counter() - start)
    return MeasuredSize(size, steps_per_epoch, estimate, _peak_memory(on_gpu), speed)


def _peak_memory(on_gpu: bool) -> float:
    """Returns the most GiB that have been used of the first GPU, or by this process."""
    if on_gpu:
        return float(tf.config.experimental.get_memory_info("GPU:0")["peak"] / GIB)
    unit = 1 if sys.platform == "darwin" else 1024  # bytes of `ru_maxrss`
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / GIB


def best_size(measured: Sequence[MeasuredSize]) -> int | None:
    """Returns the smallest size that is as fast as the fastest, see `CLOSE`; None if none fits."""
    speeds = {cost.size: cost.speed for cost in measured if cost.fits}
    fastest = max(speeds.values(), default=math.nan)
    return min((size for size, speed in speeds.items() if speed >= CLOSE * fastest), default=None)
