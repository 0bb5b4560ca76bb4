"""`fit` on the batches of a job: what our program and stock Keras share."""

from collections.abc import Callable, Iterable, Iterator
from itertools import chain
from typing import Any

import keras
import tensorflow as tf

from benchmarks.batches import Batch
from benchmarks.programs.job import Clock, Job, report


def begin() -> Job:
    """Reads the job, and sets its precision and a seed."""
    job = Job.from_arguments()
    if job.precision == "bfloat16":
        keras.config.set_dtype_policy("mixed_bfloat16")
    keras.utils.set_random_seed(1)
    return job


def train(
    job: Job, model: keras.Model, batches: Iterable[Batch], to_example: Callable[[Batch], Any]
) -> None:
    """Trains a compiled model on the batches, each once and in order, and reports.

    Args:
        job: What is measured.
        model: The model.
        batches: Made in the background, while steps run.
        to_example: Turns a batch into what the model's `train_step` takes.
    """
    clock = Clock(job)
    examples = map(to_example, clock.watch(batches))
    history = model.fit(
        _dataset(examples), epochs=1, shuffle=False, verbose=0, callbacks=[_EndOfStep(clock)]
    )
    versions = {"tensorflow": tf.__version__, "keras": keras.__version__}
    report(versions=versions, loss=history.history["loss"][-1], **clock.figures())


def adam() -> keras.optimizers.Optimizer:
    """Returns the optimizer of all works."""
    return keras.optimizers.Adam(1e-3, global_clipnorm=1.0)


class _EndOfStep(keras.callbacks.Callback):
    def __init__(self, clock: Clock) -> None:
        super().__init__()
        self._clock = clock

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        self._clock.tick()


def _dataset(examples: Iterator[Any]) -> tf.data.Dataset:
    """Returns examples of any sizes as a dataset that can be gone through once."""

    def any_size(array: Any) -> tf.TensorSpec:
        return tf.TensorSpec([None] * array.ndim, array.dtype)

    first = next(examples)
    dataset = tf.data.Dataset.from_generator(
        lambda: chain([first], examples),
        output_signature=tf.nest.map_structure(any_size, first),
    )
    return dataset.prefetch(tf.data.AUTOTUNE)
