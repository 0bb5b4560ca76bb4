"""The Keras model that `fit` trains: losses and metrics are means over unmasked elements."""

import time
from collections.abc import Callable
from typing import Any

import keras
import tensorflow as tf

from seq2seq.ops.dispatch import inference_kernels
from seq2seq.training.losses import ElementLoss, TokenCrossEntropy
from seq2seq.training.profiler_trace import WAITING

Loss = Callable[..., ElementLoss]

Batch = tuple[Any, tf.Tensor, tf.Tensor]
"""`(inputs, labels, weights)`."""


class Perplexity(keras.metrics.Mean):
    """`exp` of the mean loss."""

    def result(self) -> tf.Tensor:
        """Returns the perplexity so far, a scalar."""
        return tf.exp(super().result())


class MaskedLossModel(keras.Model):
    """A functional model whose batches are `(inputs, labels, weights)`.

    The weights are 1 for real elements and 0 for padding. A step's loss is the mean over its real
    elements, and an epoch's loss the mean over all real elements of the epoch: both are the same
    for any batching and padding. Keras' own `fit` averages over rows instead.

    Args:
        inputs: As `keras.Model`'s.
        outputs: As `keras.Model`'s.
        loss: Computes the loss of each element from labels, outputs and weights. With a consistency
            loss, each training batch is doubled, so that it gets two dropout masks.
    """

    def __init__(self, inputs: Any, outputs: Any, loss: Loss) -> None:
        super().__init__(inputs, outputs)
        self.element_loss = loss
        self.doubles_batches = isinstance(loss, TokenCrossEntropy) and loss.consistency > 0
        self.mean_loss = keras.metrics.Mean(name="loss")
        self.perplexity = (  # a likelihood of numbers has none
            Perplexity(name="perplexity") if getattr(loss, "has_perplexity", True) else None
        )

    @property
    def metrics(self) -> list[keras.metrics.Metric]:
        """The metrics that `fit` resets each epoch."""
        return [metric for metric in (self.mean_loss, self.perplexity) if metric is not None]

    def train_step(self, data: Batch) -> dict[str, tf.Tensor]:
        """Updates the weights from one batch."""
        return self._update_weights(data, training=True)

    def _update_weights(self, data: Batch, training: bool) -> dict[str, tf.Tensor]:
        options = {}
        if training and self.doubles_batches:  # (batch, ...) -> (2 * batch, ...)
            data = tf.nest.map_structure(lambda tensor: tf.concat([tensor, tensor], axis=0), data)
            options["doubled"] = True
        inputs, labels, weights = data
        with tf.GradientTape() as tape:
            outputs = self(inputs, training=training)
            losses = self.element_loss(labels, outputs, weights, **options)
            objective = tf.reduce_sum(losses.objective * weights) / tf.reduce_sum(weights)
            if self.losses:
                objective += tf.add_n(self.losses)
            scaled = self.optimizer.scale_loss(objective)
        variables = self.trainable_variables
        gradients = tape.gradient(scaled, variables)
        if self.optimizer.loss_scale_factor:  # Keras cannot divide the slices of embeddings
            gradients = [g if g is None else tf.convert_to_tensor(g) for g in gradients]
        self.optimizer.apply(gradients, variables)
        return self._update_metrics(losses.reported, weights)

    def test_step(self, data: Batch) -> dict[str, tf.Tensor]:
        """Evaluates one batch."""
        inputs, labels, weights = data
        with inference_kernels():
            outputs = self(inputs, training=False)
            losses = self.element_loss(labels, outputs, weights)
        return self._update_metrics(losses.reported, weights)

    def _update_metrics(self, losses: tf.Tensor, weights: tf.Tensor) -> dict[str, tf.Tensor]:
        # Flat: of values with more axes Keras takes the mean of each row first, and a token in a
        # long batch would count for less than one in a short batch.
        losses, weights = tf.reshape(losses, [-1]), tf.reshape(weights, [-1])
        for metric in self.metrics:
            metric.update_state(losses, sample_weight=weights)
        return self.get_metrics_result()


class TimedModel(MaskedLossModel):
    """Measures how long its training steps wait for their batches.

    Attributes:
        waiting_seconds: The waits of all training steps so far.
    """

    waiting_seconds = 0.0
    train_function: Any  # set by Keras, which does not declare it

    def make_train_function(self, force: bool = False) -> Any:
        """Makes the function that `fit` calls with an iterator of batches.

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
            start = time.perf_counter()
            with tf.profiler.experimental.Trace(WAITING):
                batch = next(batches)
            self.waiting_seconds += time.perf_counter() - start
            return step(batch)

        self.train_function = next_step
        return next_step


def compile_model(
    training_model: keras.Model, loss: Loss, optimizer: keras.optimizers.Optimizer
) -> TimedModel:
    """Wraps a functional model for `fit`; layers, and so weights, are shared with it."""
    model = TimedModel(training_model.input, training_model.output, loss)
    model.compile(optimizer=optimizer, jit_compile=False)
    optimizer.build(model.trainable_variables)
    return model
