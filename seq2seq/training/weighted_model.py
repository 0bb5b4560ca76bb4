"""The Keras model that `fit` trains: losses and metrics are means over real elements."""

from collections.abc import Callable
from typing import Any

import keras
import tensorflow as tf

from seq2seq.ops.dispatch import inference_kernels
from seq2seq.training.losses import ElementLoss, TokenCrossEntropy

Loss = Callable[..., ElementLoss]


class Perplexity(keras.metrics.Mean):
    """`exp` of the mean loss."""

    def result(self) -> tf.Tensor:
        """Returns the perplexity so far, a scalar."""
        return tf.exp(super().result())


class WeightedModel(keras.Model):
    """A functional model whose batches are `(inputs, labels, weights)`.

    The weights are 1 for real elements and 0 for padding. A step's loss is the mean over its real
    elements, and an epoch's loss the mean over all real elements of the epoch: both are the same
    however the rows were batched and padded. Keras' own `fit` averages over rows instead.

    Args:
        inputs: As `keras.Model`'s.
        outputs: As `keras.Model`'s.
        loss: Gives the loss of each element from labels, outputs and weights. If it weighs
            consistency, a training batch is read twice at once, under two dropout masks.
    """

    def __init__(self, inputs: Any, outputs: Any, loss: Loss) -> None:
        super().__init__(inputs, outputs)
        self.element_loss = loss
        self.reads_twice = isinstance(loss, TokenCrossEntropy) and loss.consistency > 0
        self.mean_loss = keras.metrics.Mean(name="loss")
        self.perplexity = Perplexity(name="perplexity")

    @property
    def metrics(self) -> list[keras.metrics.Metric]:
        """The metrics that `fit` resets each epoch."""
        return [self.mean_loss, self.perplexity]

    def train_step(self, data: tuple[Any, tf.Tensor, tf.Tensor]) -> dict[str, tf.Tensor]:
        """Updates the weights from one batch."""
        return self._learn(data, training=True)

    def _learn(
        self, data: tuple[Any, tf.Tensor, tf.Tensor], training: bool
    ) -> dict[str, tf.Tensor]:
        options = {}
        if training and self.reads_twice:
            data = tf.nest.map_structure(lambda each: tf.concat([each, each], axis=0), data)
            options["twice"] = True
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
            gradients = [None if each is None else tf.convert_to_tensor(each) for each in gradients]
        self.optimizer.apply(gradients, variables)
        return self._record(losses.reported, weights)

    def test_step(self, data: tuple[Any, tf.Tensor, tf.Tensor]) -> dict[str, tf.Tensor]:
        """Measures one batch."""
        inputs, labels, weights = data
        with inference_kernels():
            outputs = self(inputs, training=False)
            losses = self.element_loss(labels, outputs, weights)
        return self._record(losses.reported, weights)

    def _record(self, losses: tf.Tensor, weights: tf.Tensor) -> dict[str, tf.Tensor]:
        # Flat: of values with more axes Keras takes the mean of each row first, and a token in a
        # long batch would count for less than one in a short batch.
        losses, weights = tf.reshape(losses, [-1]), tf.reshape(weights, [-1])
        for metric in self.metrics:
            metric.update_state(losses, sample_weight=weights)
        return self.get_metrics_result()
