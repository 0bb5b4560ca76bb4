"""The model that `fit` trains, with a clock on its data."""

import time
from typing import Any

import tensorflow as tf

from seq2seq.training.trace import WAITING
from seq2seq.training.weighted_model import Loss, WeightedModel


class TimedModel(WeightedModel):
    """Measures how long its training steps wait for their batches.

    Args:
        inputs: As `keras.Model`'s.
        outputs: As `keras.Model`'s.
        loss: Gives the loss of each element.

    Attributes:
        waiting_seconds: The waits of all training steps so far.
    """

    train_function: Any  # by Keras, which does not say so

    def __init__(self, inputs: Any, outputs: Any, loss: Loss) -> None:
        super().__init__(inputs, outputs, loss)
        self.waiting_seconds = 0.0

    def make_train_function(self, force: bool = False) -> Any:
        """Makes the step that `fit` calls with an iterator of batches.

        Keras' own takes the batch inside the graph, where nothing can be timed while ops have to
        be deterministic.
        """
        if self.train_function is not None and not force:
            return self.train_function
        step: Any = None

        def next_step(batches: tf.data.Iterator) -> dict[str, tf.Tensor]:
            nonlocal step
            if step is None:  # one graph for all lengths
                signature = [batches.element_spec]
                step = tf.function(self.train_step, signature, autograph=False)
            asked = time.perf_counter()
            with tf.profiler.experimental.Trace(WAITING):
                batch = next(batches)
            self.waiting_seconds += time.perf_counter() - asked
            return step(batch)

        self.train_function = next_step
        return next_step
