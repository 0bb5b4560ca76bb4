"""Derivatives of any order, and in forward mode, are those of Keras' layers and of TensorFlow."""

import functools

import keras
import numpy as np
import pytest
import tensorflow as tf

from seq2seq.layers.dense import Dense
from seq2seq.layers.dropout import Dropout
from seq2seq.layers.embedding import Embedding
from seq2seq.layers.recurrent import GRU, LSTM, both_directions
from seq2seq.ops import dispatch
from seq2seq.ops.attention import dot_attention
from seq2seq.ops.cross_entropy import logit_statistics

BATCH, TIME, FEATURES, UNITS = 2, 4, 3, 5
MASK = np.array([[1, 1, 1, 0], [0, 1, 1, 1]], bool)


def normal(*shape, seed=0):
    return tf.constant(np.random.default_rng(seed).normal(size=shape).astype("float32"))


def recurrent(kind, options, mask, initial):
    """Returns a function of inputs, states and weights."""
    layer = kind(UNITS, return_sequences=True, return_state=True, **options)
    layer.build((None, None, FEATURES))
    for number, variable in enumerate(layer.trainable_variables):
        variable.assign(0.5 * normal(*variable.shape, seed=number))
    count = len(layer.state_size) if initial else 0
    fixed = [variable.value for variable in layer.non_trainable_variables]

    def function(x, *operands):
        states, weights = operands[:count], operands[count:]
        outputs, _ = layer.stateless_call(
            weights,
            fixed,
            x,
            initial_state=list(states) or None,
            mask=MASK if mask else None,
            training=True,
        )
        return tf.add_n([tf.reduce_sum(tf.sin(output)) for output in outputs])

    states = [normal(BATCH, UNITS, seed=7 + number) for number in range(count)]
    weights = [variable.value for variable in layer.trainable_variables]
    return function, [normal(BATCH, TIME, FEATURES), *states, *map(tf.identity, weights)]


def penalty(function, operands):
    """Returns the gradient of a norm of the gradient."""
    with tf.GradientTape() as outer:
        outer.watch(operands)
        with tf.GradientTape() as inner:
            inner.watch(operands)
            result = function(*operands)
        gradients = inner.gradient(result, operands, unconnected_gradients="zero")
        norm = tf.add_n([tf.reduce_sum(tf.sin(2 * gradient)) for gradient in gradients])
    return outer.gradient(norm, operands, unconnected_gradients="zero")


def forward_over_reverse(function, operands):
    """Returns the product of the Hessian with a vector in forward mode."""
    directions = [normal(*operand.shape, seed=11) for operand in operands]
    with tf.autodiff.ForwardAccumulator(operands, directions) as accumulator:
        with tf.GradientTape() as tape:
            tape.watch(operands)
            result = function(*operands)
        gradients = tape.gradient(result, operands, unconnected_gradients="zero")
    return [accumulator.jvp(g, unconnected_gradients="zero") for g in gradients]


def forward(function, operands):
    directions = [normal(*operand.shape, seed=11) for operand in operands]
    with tf.autodiff.ForwardAccumulator(operands, directions) as accumulator:
        result = function(*operands)
    return [accumulator.jvp(result)]


def persistent(function, operands):
    """Returns two gradients of one tape, one of them made inside of it, and the second one's."""
    with tf.GradientTape(persistent=True) as tape:
        tape.watch(operands)
        result = function(*operands)
        inside = tape.gradient(result, operands[0])
        squared = tf.reduce_sum(inside**2)
    return [inside, *tape.gradient(result, operands), *tape.gradient(squared, operands)]


def hessian(function, operands):
    """Returns the Hessian of the input as `tf.hessians` makes it, without a tape."""
    return [tf.function(lambda *operands: tf.hessians(function(*operands), operands[0]))(*operands)]


def third(function, operands):
    def second(*operands):
        return tf.add_n([tf.reduce_sum(g) for g in penalty(function, operands)])

    return penalty(second, operands)[:1]


WAYS = (penalty, forward_over_reverse, forward, persistent)
CASES = {
    "plain": ({}, False, False),
    "mask": ({"go_backwards": True, "zero_output_for_mask": True}, True, True),
    "no_bias": ({"use_bias": False}, True, True),
}


@functools.cache
def of_keras(kind, case, derivative):
    """Returns a derivative of a layer of Keras, computed once for all ways of ours."""
    return derivative(*recurrent(kind, *CASES[case]))


def assert_all_close(found, expected, tolerance=2e-4):
    for ours, stock in zip(found, expected, strict=True):
        scale = max(1.0, float(tf.reduce_max(tf.abs(stock))))
        np.testing.assert_allclose(ours, stock, rtol=tolerance, atol=tolerance * scale)


@pytest.fixture(params=["loop", pytest.param("kernel", marks=pytest.mark.compiled)])
def way(request, monkeypatch):
    """With compiled kernels, and with TensorFlow's operations."""
    if request.param == "loop":
        monkeypatch.setattr(dispatch, "load", lambda: None)


KINDS = [(LSTM, keras.layers.LSTM), (GRU, keras.layers.GRU)]


@pytest.mark.parametrize(("kind", "stock"), KINDS)
@pytest.mark.parametrize("case", CASES)
def test_recurrent_layers(way, kind, stock, case):
    ours = recurrent(kind, *CASES[case])
    for derivative in WAYS:
        assert_all_close(derivative(*ours), of_keras(stock, case, derivative))


@pytest.mark.parametrize(("kind", "stock"), KINDS)
def test_recurrent_layers_in_a_graph(way, kind, stock):
    function, operands = recurrent(kind, *CASES["mask"])
    found = tf.function(lambda *operands: penalty(function, list(operands)))(*operands)
    assert_all_close(found, of_keras(stock, "mask", penalty))


@pytest.mark.parametrize(("kind", "stock"), KINDS)
def test_hessians_of_a_graph(way, kind, stock):
    assert_all_close(hessian(*recurrent(kind, *CASES["plain"])), of_keras(stock, "plain", hessian))


@pytest.mark.compiled
def test_third_derivatives():
    """In a graph, too, but making one takes a minute."""
    stock, _ = recurrent(keras.layers.LSTM, *CASES["plain"])
    function, operands = recurrent(LSTM, *CASES["plain"])
    assert_all_close(third(function, operands), third(stock, operands), 1e-3)


@pytest.mark.parametrize(("kind", "stock"), KINDS)
def test_a_graph_that_is_differentiated_from_outside(way, kind, stock):
    """The layer is in a graph of its own, its derivatives are taken outside of it.

    TensorFlow cannot take products with Hessians so: Keras' layers raise there, too.
    """
    function, operands = recurrent(kind, *CASES["mask"])
    for derivative in (penalty, forward):
        found = derivative(tf.function(function), operands)
        assert_all_close(found, of_keras(stock, "mask", derivative))


@pytest.mark.parametrize(("kind", "stock"), KINDS)
def test_forward_mode_in_a_graph_of_a_graph(way, kind, stock):
    function, operands = recurrent(kind, *CASES["plain"])
    inner = tf.function(function)
    found = tf.function(lambda *operands: forward(inner, list(operands)))(*operands)
    assert_all_close(found, of_keras(stock, "plain", forward))


def statistics(pairs):
    labels = tf.constant([1, -1, 0, 1, -1, 0] if pairs else [1, -1, 3, 0, 2, 1])

    def ours(features, kernel, bias):
        found = logit_statistics(features, kernel, bias, labels, pairs=pairs)
        return tf.add_n([tf.reduce_sum(tf.sin(each)) for each in found if each is not None])

    def plain(features, kernel, bias):
        logits = features @ kernel + bias
        kept = tf.cast(labels >= 0, tf.float32)
        log_p = tf.nn.log_softmax(logits)
        label = tf.reduce_sum(tf.one_hot(labels, 4) * logits, axis=-1)
        found = [tf.reduce_logsumexp(logits, axis=-1), label, tf.reduce_mean(logits, axis=-1)]
        result = tf.add_n([tf.reduce_sum(kept * tf.sin(each)) for each in found])
        if pairs:
            (p, q), (log_p, log_q) = tf.split(tf.exp(log_p), 2), tf.split(log_p, 2)
            divergence = tf.reduce_sum((p - q) * (log_p - log_q), axis=-1)
            result += tf.reduce_sum(kept[:3] * tf.sin(divergence))
        return result

    return ours, plain, [normal(6, 3), normal(3, 4, seed=1), normal(4, seed=2)]


def attention():
    mask = tf.constant([[True, True, False], [False, False, False]])

    def result(context, weights):
        return tf.reduce_sum(tf.sin(context)) + tf.reduce_sum(tf.cos(weights))

    def plain(query, keys, values):
        scores = tf.where(mask[:, tf.newaxis], tf.matmul(query, keys, transpose_b=True), -1e9)
        weights = tf.nn.softmax(scores) * tf.cast(mask[:, tf.newaxis], tf.float32)
        return result(tf.matmul(weights, values), weights)

    operands = [normal(2, 4, 3), normal(2, 3, 3, seed=1), normal(2, 3, 5, seed=2)]
    return lambda *operands: result(*dot_attention(*operands, mask, training=True)), plain, operands


def layer(ours, stock, x):
    """Returns both as functions of what goes in and of the weights."""
    for each in (ours, stock):
        each.build(x.shape)
    weights = [normal(*v.shape, seed=3 + n) for n, v in enumerate(ours.trainable_variables)]

    def function(each):
        fixed = [variable.value for variable in each.non_trainable_variables]
        return lambda *operands: tf.reduce_sum(
            tf.sin(each.stateless_call(operands[1:], fixed, operands[0], training=True)[0])
        )

    return function(ours), function(stock), [x, *weights]


OTHERS = {
    "dense": lambda: layer(Dense(4), keras.layers.Dense(4), normal(3, 3)),
    "tanh": lambda: layer(
        Dense(4, activation="tanh"), keras.layers.Dense(4, activation="tanh"), normal(3, 3)
    ),
    "attention": attention,
    "statistics": lambda: statistics(pairs=False),
    "pairs": lambda: statistics(pairs=True),
}


@pytest.mark.compiled
@pytest.mark.parametrize("name", OTHERS)
def test_other_operations(name):
    ours, plain, operands = OTHERS[name]()
    for derivative in (penalty, forward_over_reverse, forward, persistent):
        assert_all_close(derivative(ours, operands), derivative(plain, operands))
        in_graph = tf.function(lambda *operands, d=derivative: d(ours, list(operands)))
        assert_all_close(in_graph(*operands), derivative(plain, operands))


def test_both_directions(way):
    def function(kind):
        layers = [
            kind(UNITS, return_sequences=True, return_state=True, go_backwards=back)
            for back in (False, True)
        ]
        for number, each in enumerate(layers):
            each.build((None, None, FEATURES))
            for variable in each.trainable_variables:
                variable.assign(0.5 * normal(*variable.shape, seed=number))
        return layers

    def stock(x):
        found, *states = first(x, mask=MASK, training=True)
        back, *back_states = second(x, mask=MASK, training=True)
        return [tf.concat([found, tf.reverse(back, [1])], -1), *states, *back_states]

    ours, (first, second) = function(LSTM), function(keras.layers.LSTM)
    runs = (lambda x: both_directions(*ours, x, tf.constant(MASK), training=True), stock)
    results = [
        lambda x, run=run: tf.add_n([tf.reduce_sum(tf.sin(r)) for r in tf.nest.flatten(run(x))])
        for run in runs
    ]
    for derivative in (penalty, forward_over_reverse, forward):
        found, expected = (derivative(r, [normal(BATCH, TIME, FEATURES)]) for r in results)
        assert_all_close(found, expected)


@pytest.mark.compiled
def test_dropout_is_linear():
    """Its derivative in a direction is itself, applied to the direction: the same elements drop."""
    x, direction = normal(40, 7), normal(40, 7, seed=1)
    layer = Dropout(0.4, seed=1)
    with tf.autodiff.ForwardAccumulator(x, direction) as accumulator:
        y = layer(x, training=True)
    np.testing.assert_allclose(accumulator.jvp(y), direction * (y / x), rtol=1e-5, atol=1e-6)
    with tf.GradientTape() as outer, tf.GradientTape() as inner:
        outer.watch(x), inner.watch(x)
        y = layer(x, training=True)
        loss = tf.reduce_sum(y**3)
        gradient = inner.gradient(loss, x)
    np.testing.assert_allclose(outer.gradient(gradient, x), 6 * y * (y / x) ** 2, rtol=1e-4)


@pytest.mark.compiled
def test_embeddings_twice():
    ids = tf.constant([[0, 2, 2], [1, 0, 2]])
    results = []
    for kind in (Embedding, keras.layers.Embedding):
        layer = kind(4, 3)
        layer.build(None)
        layer.embeddings.assign(normal(4, 3))
        table = layer.embeddings.value
        with tf.GradientTape() as outer:
            with tf.GradientTape() as inner:
                loss = tf.reduce_sum(tf.sin(layer(ids, training=True)))
            gradient = tf.convert_to_tensor(inner.gradient(loss, table))
            squares = tf.reduce_sum(gradient**2)
        results.append(tf.convert_to_tensor(outer.gradient(squares, table)))
    np.testing.assert_allclose(*results, rtol=1e-5)
