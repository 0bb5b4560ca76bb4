"""Dynamic evaluation: a language model is updated on the text that it is evaluated on."""

from typing import Any

import keras
import tensorflow as tf

from seq2seq.training.masked_loss_model import Loss, MaskedLossModel


class DynamicModel(MaskedLossModel):
    """Evaluates each batch, and then updates the weights with it, without dropout.

    Krause et al., 2018 (https://arxiv.org/abs/1709.07432); here with Adam without momentum.

    Args:
        model: The model, whose weights change.
        loss: Computes the loss of each element.
        rate: The learning rate.
    """

    def __init__(self, model: keras.Model, loss: Loss, rate: float) -> None:
        super().__init__(model.input, model.output, loss)
        optimizer = keras.optimizers.Adam(rate, beta_1=0.0)
        optimizer.build(self.trainable_variables)
        self.compile(optimizer, jit_compile=False)

    def test_step(self, data: tuple[Any, tf.Tensor, tf.Tensor]) -> dict[str, tf.Tensor]:
        """Evaluates one batch, and updates the weights with it."""
        return self._update_weights(self.gradients(data, training=False))


def dynamic_loss(model: keras.Model, loss: Loss, rate: float, data: tf.data.Dataset) -> float:
    """Returns the mean loss over all real elements under dynamic evaluation.

    Args:
        model: The model; its weights are restored afterwards.
        loss: Computes the loss of each element.
        rate: The learning rate.
        data: Batches, in the order of the text.
    """
    weights = model.get_weights()
    try:
        metrics = DynamicModel(model, loss, rate).evaluate(data, return_dict=True, verbose=0)
        return float(metrics["loss"])
    finally:
        model.set_weights(weights)
