"""What Keras broadcasts, casts or refuses, our recurrent layers do, too, kernels or not."""

from itertools import product

import keras
import numpy as np
import pytest
import tensorflow as tf
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from seq2seq.layers.recurrent import GRU, LSTM

BATCH, TIME, FEATURES, UNITS = 3, 5, 4, 6
PAIRS = {"lstm": (LSTM, keras.layers.LSTM, 2), "gru": (GRU, keras.layers.GRU, 1)}
TYPES = ("float32", "float64", "int32", "int64", "uint8", "bool")

rows = st.sampled_from([BATCH, BATCH, 1, 2, BATCH + 1])
times = st.sampled_from([TIME, TIME, TIME, 1, 3, TIME + 3])
widths = st.sampled_from([UNITS, UNITS, UNITS, 1, UNITS - 2, UNITS + 2])
sequences = st.tuples(
    st.tuples(st.just(BATCH), st.just(TIME), st.sampled_from([FEATURES] * 4 + [1, 3, 7, 500])),
    st.sampled_from(TYPES),
)
masks = st.none() | st.tuples(
    st.tuples(rows, times) | st.tuples(rows, times, st.sampled_from([1, UNITS])) | st.tuples(times),
    st.sampled_from(["bool", "bool", "float32", "int64"]),
)
states = st.none() | st.lists(st.tuples(rows, widths) | st.tuples(widths), min_size=1, max_size=3)


def values(shape, dtype, seed):
    made = np.random.default_rng(seed).normal(size=shape)
    return (made > 0 if dtype == "bool" else made if "f" in dtype else np.abs(made) * 2).astype(
        dtype
    )


def outcome(layer, inputs, mask, initial_state, training, in_graph):
    """Returns outputs and gradients, or the error."""

    def run(inputs, mask, initial_state):
        with tf.GradientTape() as tape:
            outputs = layer(inputs, mask=mask, initial_state=initial_state, training=training)
            loss = tf.add_n([tf.reduce_sum(tf.sin(output)) for output in outputs])
        return outputs, tape.gradient(loss, layer.trainable_variables)

    if in_graph:  # of any size, but of these ranks
        given = [x for x in (inputs, mask, *(initial_state or [])) if x is not None]
        signature = [tf.TensorSpec([None] * x.ndim, x.dtype) for x in given]
        eagerly, masked, with_states = run, mask is not None, initial_state is not None

        @tf.function(input_signature=signature, autograph=False)
        def graph(inputs, *others):
            first, *more = others if masked else (None, *others)
            return eagerly(inputs, first, more if with_states else None)

        def run(*_):
            return graph(*given)

    try:
        return tf.nest.flatten(run(inputs, mask, initial_state))
    except (ValueError, TypeError, IndexError, RuntimeError, tf.errors.OpError) as error:
        return error


def assert_same(found, expected, what):
    raised = [isinstance(each, Exception) for each in (found, expected)]
    if raised == [True, True]:
        return
    assert raised == [False, False], f"{what}: ours {found!r:.300}, stock {expected!r:.300}"
    for ours, stock in zip(found, expected, strict=True):
        assert ours.dtype == stock.dtype, what
        np.testing.assert_allclose(ours, stock, rtol=2e-5, atol=2e-5, err_msg=str(what))


def layers_of(cell, **options):
    ours_class, stock_class, count = PAIRS[cell]
    ours, stock = (kind(UNITS, return_state=True, **options) for kind in (ours_class, stock_class))
    for layer in (ours, stock):
        layer.build((None, None, FEATURES))
    ours.set_weights(stock.get_weights())
    return ours, stock, count


@pytest.mark.parametrize("cell", PAIRS)
@pytest.mark.parametrize("training", [False, True])
@settings(
    max_examples=60,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.too_slow],
)
@given(sequences, masks, states, st.booleans(), st.booleans())
def test_any_shapes_and_types(cell, training, inputs, mask, initial, sequence, backwards):
    ours, stock, _ = layers_of(cell, return_sequences=sequence, go_backwards=backwards)
    what = (inputs, mask, initial, sequence, backwards)
    inputs = values(*inputs, seed=0)
    mask = None if mask is None else values(*mask, seed=1)
    initial = initial and [values(shape, "float32", seed) for seed, shape in enumerate(initial)]
    found, expected = (
        outcome(layer, inputs, mask, initial, training, in_graph=False) for layer in (ours, stock)
    )
    assert_same(found, expected, what)


SHAPES = {
    "features": {"inputs": (BATCH, TIME, FEATURES + 3)},
    "fewer features": {"inputs": (BATCH, TIME, FEATURES - 2)},
    "one state": {"state": (1, UNITS)},
    "two states": {"state": (2, UNITS)},
    "wider state": {"state": (BATCH, UNITS + 2)},
    "narrower state": {"state": (BATCH, UNITS - 2)},
    "state of one unit": {"state": (BATCH, 1)},
    "one mask": {"mask": (1, TIME)},
    "two masks": {"mask": (2, TIME)},
    "short mask": {"mask": (BATCH, TIME - 2)},
    "mask of one step": {"mask": (BATCH, 1)},
    "mask of three axes": {"mask": (BATCH, TIME, 1)},
    "no rows": {"inputs": (0, TIME, FEATURES), "mask": (0, TIME), "state": (0, UNITS)},
}


@pytest.mark.parametrize("cell", PAIRS)
@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize("case", SHAPES)
def test_shapes_that_only_a_run_of_the_graph_knows(cell, training, case):
    ours, stock, count = layers_of(cell, return_sequences=True)
    shapes = SHAPES[case]
    inputs = values(shapes.get("inputs", (BATCH, TIME, FEATURES)), "float32", 0)
    mask = values(shapes["mask"], "bool", 1) if "mask" in shapes else None
    initial = [
        values(shapes.get("state", (BATCH, UNITS)), "float32", 2 + number)
        for number in range(count)
    ]
    found, expected = (
        outcome(layer, inputs, mask, initial, training, in_graph=True) for layer in (ours, stock)
    )
    assert_same(found, expected, case)


@pytest.mark.parametrize("training", [False, True])
def test_a_mask_that_only_a_run_knows_to_be_too_long_is_refused(training):
    """Keras does so where it sees the length; in a graph it drops the end."""
    ours, _, _ = layers_of("lstm", return_sequences=True)
    inputs, mask = values((BATCH, TIME, FEATURES), "float32", 0), np.ones((BATCH, TIME + 3), bool)
    found = outcome(ours, inputs, mask, None, training, in_graph=True)
    assert isinstance(found, tf.errors.InvalidArgumentError)


@pytest.mark.parametrize("cell", PAIRS)
def test_a_learned_state_for_all_rows_is_trained(cell):
    """Its gradient is the sum over the rows: Keras', eagerly and in a graph of any batch size."""
    ours, stock, count = layers_of(cell, return_sequences=True)
    inputs = tf.constant(values((BATCH, TIME, FEATURES), "float32", 0))
    for in_graph, mask in product((False, True), (None, np.ones((1, TIME), bool))):
        gradients = []
        for layer in (ours, stock):
            variables = [tf.Variable(values((1, UNITS), "float32", n)) for n in range(count)]

            def run(inputs, layer=layer, variables=variables, mask=mask):
                with tf.GradientTape() as tape:
                    initial = [
                        tf.raw_ops.PlaceholderWithDefault(input=v, shape=[None, UNITS])
                        for v in variables
                    ]
                    outputs = layer(inputs, initial_state=initial, mask=mask, training=True)
                    loss = tf.add_n([tf.reduce_sum(tf.sin(output)) for output in outputs])
                return tape.gradient(loss, variables)

            if in_graph:
                run = tf.function(run, input_signature=[tf.TensorSpec((None, None, FEATURES))])
            gradients.append(run(inputs))
        for found, expected in zip(*gradients, strict=True):
            np.testing.assert_allclose(found, expected, rtol=2e-5, atol=2e-5)
