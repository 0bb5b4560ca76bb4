"""Adam and AdamW are Keras' own, number for number."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from seq2seq.training import optimizers

PAIRS = [
    (optimizers.Adam, keras.optimizers.Adam, {}),
    (optimizers.Adam, keras.optimizers.Adam, {"amsgrad": True, "beta_1": 0.8, "epsilon": 1e-3}),
    (optimizers.Adam, keras.optimizers.Adam, {"global_clipnorm": 0.7}),
    (optimizers.Adam, keras.optimizers.Adam, {"clipnorm": 0.3, "use_ema": True}),
    (optimizers.Adam, keras.optimizers.Adam, {"clipvalue": 0.1, "gradient_accumulation_steps": 2}),
    (optimizers.AdamW, keras.optimizers.AdamW, {"weight_decay": 0.1, "global_clipnorm": 5.0}),
    (optimizers.Adam, keras.optimizers.Adam, {"global_clipnorm": 1e6, "epsilon": 1e-4}),
    (optimizers.Adam, keras.optimizers.Adam, {"beta_1": 0, "global_clipnorm": -1.0}),
]


@pytest.fixture(params=["plain", pytest.param("kernel", marks=pytest.mark.compiled)])
def way(request, monkeypatch):
    """Updates with TensorFlow's operations, and with kernels."""
    if request.param == "plain":
        monkeypatch.setattr(optimizers, "fused_adam_available", lambda *_, **__: False)


def sparse_and_dense_gradients(step):
    generator = np.random.default_rng(step)
    rows = tf.IndexedSlices(
        values=tf.constant(generator.normal(size=(3, 2)), tf.float32),
        indices=tf.constant([4, 1, 4]),  # a row may occur twice
        dense_shape=tf.constant([6, 2]),
    )
    return [rows, tf.constant(generator.normal(size=(3, 50)), tf.float32)]


def compiled_update(optimizer, variables):
    return tf.function(lambda *gradients: optimizer.apply(gradients, variables))


@pytest.mark.parametrize(("ours", "theirs", "options"), PAIRS)
def test_updates_are_those_of_keras(way, ours, theirs, options):
    weights = []
    for optimizer in (ours(0.05, **options), theirs(0.05, **options)):
        variables = [keras.Variable(tf.ones((6, 2))), keras.Variable(tf.ones((3, 50)))]
        optimizer.build(variables)
        update = compiled_update(optimizer, variables)
        for step in range(4):
            gradients = [tf.convert_to_tensor(g) for g in sparse_and_dense_gradients(step)]
            if ours is type(optimizer):  # what Keras is given dense, ours also takes sparse
                gradients = sparse_and_dense_gradients(step)
            update(*gradients)
        weights.append([np.array(v) for v in [*variables, *optimizer.variables]])
    for mine, other in zip(*weights, strict=True):
        np.testing.assert_allclose(mine, other, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_a_norm_that_is_not_finite_makes_all_weights_nan(way, bad):
    variables = [keras.Variable(tf.ones((6, 2))), keras.Variable([1.0, 2.0])]
    optimizer = optimizers.Adam(0.1, global_clipnorm=1.0)
    optimizer.build(variables)
    rows = tf.IndexedSlices(tf.ones((1, 2)), tf.constant([3]), tf.constant([6, 2]))
    optimizer.apply([rows, tf.constant([bad, 1.0])], variables)
    assert all(np.isnan(variable).all() for variable in variables)


def test_variables_of_tensorflow_are_trained_too(way):
    results = []
    for optimizer in (optimizers.Adam(0.1), keras.optimizers.Adam(0.1)):
        variables = [tf.Variable([1.0, 2.0])]
        optimizer.build(variables)
        optimizer.apply([tf.constant([0.5, -1.0])], variables)
        results.append(variables[0].numpy())
    np.testing.assert_allclose(*results, rtol=1e-6)


@pytest.mark.parametrize("dtype", [tf.bfloat16, tf.float64])
def test_gradients_of_other_types_are_taken(way, dtype):
    results = []
    for optimizer in (optimizers.Adam(0.1), keras.optimizers.Adam(0.1)):
        variables = [keras.Variable([1.0, 2.0])]
        optimizer.build(variables)
        optimizer.apply([tf.constant([0.5, -1.0], dtype)], variables)
        results.append(variables[0].numpy())
    np.testing.assert_allclose(*results, rtol=1e-6)


def test_an_unused_variable_is_left_alone(way):
    variables = [keras.Variable([1.0]), keras.Variable([2.0])]
    optimizer = optimizers.Adam(0.1, global_clipnorm=1.0)
    optimizer.build(variables)
    optimizer.apply([tf.constant([1.0]), None], variables)
    assert float(variables[1].value[0]) == 2.0
    assert float(variables[0].value[0]) < 1.0


def test_configuration_is_kept():
    optimizer = optimizers.Adam(0.1, beta_1=0.7, global_clipnorm=1.0)
    restored = keras.optimizers.deserialize(keras.optimizers.serialize(optimizer))
    assert type(restored) is optimizers.Adam
    assert restored.get_config() == optimizer.get_config()
