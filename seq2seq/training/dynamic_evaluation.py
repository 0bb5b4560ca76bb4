"""Dynamic evaluation: a model goes on learning from the very text that it is measured on."""

from typing import Any

import keras
import tensorflow as tf

from seq2seq.training.weighted_model import Loss, WeightedModel


class DynamicModel(WeightedModel):
    """Measures each batch first, and only then learns from it, without dropout.

    What comes next is predicted by weights that have learned from all that came before, as in
    Krause et al., 2018 (https://arxiv.org/abs/1709.07432); here by Adam without momentum.

    Args:
        model: The model, whose weights change.
        loss: Gives the loss of each element.
        rate: The learning rate.
    """

    def __init__(self, model: keras.Model, loss: Loss, rate: float) -> None:
        super().__init__(model.input, model.output, loss)
        optimizer = keras.optimizers.Adam(rate, beta_1=0.0)
        optimizer.build(self.trainable_variables)
        self.compile(optimizer, jit_compile=False)

    def test_step(self, data: tuple[Any, tf.Tensor, tf.Tensor]) -> dict[str, tf.Tensor]:
        """Measures one batch, and learns from it."""
        return self._learn(data, training=False)


def dynamic_loss(model: keras.Model, loss: Loss, rate: float, data: tf.data.Dataset) -> float:
    """Returns the mean loss of data whose batches are learned from, one after the other.

    Args:
        model: The model; its weights are afterwards what they were before.
        loss: Gives the loss of each element.
        rate: The learning rate.
        data: Batches, in the order in which they are read.

    Returns:
        The mean over all real elements.
    """
    weights = model.get_weights()
    try:
        measured = DynamicModel(model, loss, rate).evaluate(data, return_dict=True, verbose=0)
        return float(measured["loss"])
    finally:
        model.set_weights(weights)
