"""Scaled losses train models with embeddings as losses that are not scaled do."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from seq2seq.layers.dense import Dense, LogitFactors
from seq2seq.layers.embedding import Embedding, ReversibleEmbedding
from seq2seq.training.losses import TokenCrossEntropy
from seq2seq.training.masked_loss_model import compile_model
from seq2seq.training.optimizers import Adam

SGD = keras.optimizers.SGD
SCALED = {
    "factor": lambda kind: kind(0.1, loss_scale_factor=1024.0),
    "dynamic": lambda kind: keras.optimizers.LossScaleOptimizer(kind(0.1)),
}
# No id stands twice: Keras' Adam adds up the squares of a row's slices, ours squares their sum.
IDS, LABELS = np.array([[1, 2], [4, 0]]), np.array([[2, 3], [0, 4]])


def trained(embedding, optimizer):
    """Returns the weights after a step of our training, from the same weights each time."""
    inputs = keras.Input((None,), dtype="int32")
    outputs = LogitFactors(Dense(5))(embedding(5, 4)(inputs))
    model = keras.Model(inputs, outputs)
    rng = np.random.default_rng(0)
    model.set_weights([rng.normal(size=weight.shape) for weight in model.weights])
    training = compile_model(model, TokenCrossEntropy(), optimizer)
    data = IDS, LABELS, np.ones(LABELS.shape, "float32")
    step = tf.function(training.train_step, autograph=False)
    step(tf.nest.map_structure(tf.constant, data))
    return model.get_weights()


@pytest.mark.parametrize("kind", [SGD, keras.optimizers.Adam, Adam])
@pytest.mark.parametrize("scaling", SCALED)
@pytest.mark.parametrize("embedding", [Embedding, ReversibleEmbedding])
def test_weights_after_a_step_are_those_without_scaling(kind, scaling, embedding):
    plain = {SGD: SGD, Adam: keras.optimizers.Adam}.get(kind, kind)
    expected = trained(keras.layers.Embedding, plain(0.1))
    found = trained(embedding, SCALED[scaling](kind))
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("embedding", [Embedding, ReversibleEmbedding])
def test_gradients_of_a_scaled_loss_are_scaled(embedding):
    gradients = []
    for kind, scale in ((embedding, 1024.0), (keras.layers.Embedding, 1.0)):
        layer = kind(5, 4)
        layer.build()
        layer.set_weights([np.random.default_rng(0).normal(size=(5, 4))])
        with tf.GradientTape() as tape:
            loss = scale * tf.reduce_sum(tf.sin(layer(IDS)))
        gradient = tf.convert_to_tensor(tape.gradient(loss, layer.embeddings.value))
        gradients.append(gradient / scale)
    np.testing.assert_allclose(*gradients, rtol=1e-6)
