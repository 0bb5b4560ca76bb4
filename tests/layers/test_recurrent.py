"""LSTM and GRU are Keras' own, number for number; only the loop is ours."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from seq2seq.layers.recurrent import GRU, LSTM, both_directions
from seq2seq.ops import bidirectional as both_directions_op
from seq2seq.ops import recurrent
from seq2seq.ops.dispatch import TYPES

PAIRS = {
    "lstm": (LSTM, keras.layers.LSTM, {}),
    "gru": (GRU, keras.layers.GRU, {}),
    "gru_reset_before": (GRU, keras.layers.GRU, {"reset_after": False}),
}
FEATURES, UNITS = 3, 4

cells = pytest.mark.parametrize("cell", PAIRS)


@pytest.fixture(params=["loop", pytest.param("kernel", marks=pytest.mark.compiled)])
def way(request, monkeypatch):
    """Runs a test with TensorFlow's operations, and with the compiled kernels, always."""
    for module in (recurrent, both_directions_op):
        monkeypatch.setattr(
            module, "usable", lambda dtype, _: request.param == "kernel" and dtype in TYPES
        )
    return request.param


def pair(cell, units=UNITS, features=FEATURES, **options):
    """Returns our layer and Keras' with the same random weights."""
    ours_class, keras_class, arguments = PAIRS[cell]
    ours = ours_class(units, **arguments, **options)
    theirs = keras_class(units, **{**arguments, **options, "use_cudnn": False})
    shape = (2 if options.get("stateful") else None, None, features)
    ours.build(shape)
    theirs.build(shape)
    generator = np.random.default_rng(7)
    for variable in theirs.trainable_variables:
        variable.assign(generator.normal(size=variable.shape) / variable.shape[0] ** 0.5)
    ours.set_weights(theirs.get_weights())
    return ours, theirs


def random_sequences(batch, time, seed=0, features=FEATURES):
    return tf.constant(np.random.default_rng(seed).normal(size=(batch, time, features)), tf.float32)


def random_states(layer, batch, seed=1):
    generator = np.random.default_rng(seed)
    return [
        tf.constant(generator.normal(size=(batch, layer.units)), tf.float32)
        for _ in layer.state_size
    ]


def results_and_gradients(layer, sequences, states, mask=None, training=True):
    """Returns all results, and the gradients that flow from all of them to all that they used."""
    weights = [variable.value for variable in layer.trainable_variables]
    with tf.GradientTape() as tape:
        tape.watch([sequences, states])
        results = layer(sequences, initial_state=states, mask=mask, training=training)
        results = list(results) if isinstance(results, (list, tuple)) else [results]
        # No two elements of the results may weigh the same, or mixed-up ones would go unseen.
        loss = tf.add_n([tf.reduce_sum(tf.sin(r * (n + 1.3))) for n, r in enumerate(results)])
    gradients = tape.gradient(loss, [sequences, *states, *weights])
    return results, gradients


def assert_close(ours, theirs, tolerance=1e-5):
    ours, theirs = tf.nest.flatten(ours), tf.nest.flatten(theirs)
    assert len(ours) == len(theirs)
    for mine, other in zip(ours, theirs, strict=True):
        assert mine.dtype == other.dtype
        np.testing.assert_allclose(mine, other, rtol=tolerance, atol=tolerance)


masks = st.sampled_from(["none", "right", "left", "holes", "empty rows"])


def make_mask(kind, batch, time, seed=3):
    generator = np.random.default_rng(seed)
    lengths = generator.integers(1, time + 1, size=(batch, 1))
    if kind == "none":
        return None
    if kind == "right":
        return tf.constant(np.arange(time) < lengths)
    if kind == "left":
        return tf.constant(np.arange(time) >= time - lengths)
    mask = generator.random((batch, time)) < 0.5
    if kind == "empty rows":
        mask[::2] = False
    return tf.constant(mask)


@settings(
    max_examples=60,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(
    cell=st.sampled_from(list(PAIRS)),
    batch=st.sampled_from([1, 2, 4, 15, 29]),
    time=st.integers(1, 5),
    units=st.sampled_from([1, 4, 16, 33, 70]),
    features=st.sampled_from([1, 3, 40]),
    mask=masks,
    training=st.booleans(),
    options=st.fixed_dictionaries(
        {
            "return_sequences": st.booleans(),
            "return_state": st.booleans(),
            "go_backwards": st.booleans(),
            "zero_output_for_mask": st.booleans(),
            "use_bias": st.booleans(),
        }
    ),
)
def test_results_and_gradients_are_those_of_keras(
    way, cell, batch, time, units, features, mask, training, options
):
    ours, theirs = pair(cell, units, features, **options)
    sequences = random_sequences(batch, time, features=features)
    states = random_states(ours, batch)
    mask = make_mask(mask, batch, time)
    assert_close(
        results_and_gradients(ours, sequences, states, mask, training),
        results_and_gradients(theirs, sequences, states, mask, training),
    )


@cells
@pytest.mark.parametrize("training", [True, False])
def test_compiled_once_for_batches_of_all_shapes(way, cell, training):
    ours, theirs = pair(cell, return_sequences=True, return_state=True)
    traces = []

    @tf.function(
        input_signature=[
            tf.TensorSpec((None, None, FEATURES)),
            [tf.TensorSpec((None, UNITS)) for _ in ours.state_size],
            tf.TensorSpec((None, None), tf.bool),
        ]
    )
    def compiled(sequences, states, mask):
        traces.append(1)
        return results_and_gradients(ours, sequences, states, mask, training)

    for batch, time in [(1, 1), (3, 2), (2, 5), (4, 6)]:
        sequences, states = random_sequences(batch, time), random_states(ours, batch)
        mask = make_mask("holes", batch, time)
        assert_close(
            compiled(sequences, states, mask),
            results_and_gradients(theirs, sequences, states, mask, training),
        )
    assert len(traces) == 1


@pytest.mark.parametrize(("cell", "training"), [("lstm", True), ("gru", True), ("lstm", False)])
def test_compiled_by_xla(cell, training):
    ours, theirs = pair(cell, return_sequences=True, return_state=True)
    sequences, states = random_sequences(3, 5), random_states(ours, 3)
    mask = make_mask("empty rows", 3, 5)
    compiled = tf.function(results_and_gradients, jit_compile=True)
    assert_close(
        compiled(ours, sequences, states, mask, training),
        results_and_gradients(theirs, sequences, states, mask, training),
    )


@cells
@pytest.mark.parametrize("training", [False, True])
def test_graphs_know_the_number_of_steps(way, cell, training):
    layer, _ = pair(cell)
    layer.return_sequences = True
    shapes = []

    @tf.function(input_signature=[tf.TensorSpec((None, 7, FEATURES))])
    def run(sequences):
        shapes.append(layer(sequences, training=training).shape.as_list())

    run(random_sequences(2, 7))
    assert shapes == [[None, 7, UNITS]]


@cells
def test_one_step_has_no_loop(cell):
    ours, _ = pair(cell, return_sequences=True, return_state=True)
    states = [tf.TensorSpec((None, UNITS)) for _ in ours.state_size]
    step = tf.function(lambda x, states: ours(x, initial_state=states))
    graph = step.get_concrete_function(tf.TensorSpec((None, 1, FEATURES)), states).graph
    assert not [node.type for node in graph.get_operations() if "While" in node.type]


@cells
def test_steps_one_by_one_are_the_whole_sequence(way, cell):
    ours, _ = pair(cell, return_sequences=True, return_state=True)
    sequences, states = random_sequences(3, 5), random_states(ours, 3)
    whole, *last_states = ours(sequences, initial_state=states)
    outputs = []
    for t in range(5):
        output, *states = ours(sequences[:, t : t + 1], initial_state=states)
        outputs.append(output)
    assert_close([tf.concat(outputs, axis=1), *states], [whole, *last_states])


@cells
@pytest.mark.parametrize("training", [True, False])
def test_last_step_equals_state_h_under_right_padding(way, cell, training):
    sequenced, _ = pair(cell, return_sequences=True, return_state=True)
    single, _ = pair(cell, return_state=True)
    sequences, mask = random_sequences(4, 6), make_mask("right", 4, 6)
    outputs, state_h, *_ = sequenced(sequences, mask=mask, training=training)
    assert_close(outputs[:, -1], state_h, tolerance=0)
    assert_close(single(sequences, mask=mask, training=training)[:2], [state_h, state_h])


@cells
def test_rows_that_are_all_padding_keep_their_state(way, cell):
    ours, _ = pair(cell, return_sequences=True, return_state=True)
    sequences, states = random_sequences(2, 4), random_states(ours, 2)
    mask = tf.constant([[False] * 4, [True] * 4])
    results, gradients = results_and_gradients(ours, sequences, states, mask)
    assert_close([state[0] for state in results[1:]], [state[0] for state in states], tolerance=0)
    assert not results[0][0].numpy().any()
    assert not gradients[0][0].numpy().any()
    assert all(np.isfinite(gradient).all() for gradient in gradients)


@cells
def test_gradient_flows_from_each_result_alone(way, cell):
    ours, theirs = pair(cell, return_sequences=True, return_state=True)
    sequences, mask = random_sequences(3, 4), make_mask("holes", 3, 4)

    def gradients(layer, index):
        with tf.GradientTape() as tape:
            loss = tf.reduce_sum(tf.sin(layer(sequences, mask=mask, training=True)[index]))
        return tape.gradient(loss, [variable.value for variable in layer.trainable_variables])

    for index in range(1 + len(ours.state_size)):
        assert_close(gradients(ours, index), gradients(theirs, index))


def test_mask_may_be_of_numbers_or_in_a_list(way):
    ours, theirs = pair("lstm", return_sequences=True)
    sequences, mask = random_sequences(2, 3), tf.constant([[1, 0, 1], [0, 1, 1]])
    assert_close(ours(sequences, mask=mask), theirs(sequences, mask=mask))
    _, outputs, _ = ours.inner_loop(sequences, ours.get_initial_state(2), [mask])
    assert_close(outputs, theirs(sequences, mask=mask))


@cells
def test_dropout_is_one_mask_for_all_steps(way, cell):
    ours, theirs = pair(cell, return_sequences=True, dropout=0.5, seed=11)
    sequences, states = random_sequences(3, 4), random_states(ours, 3)
    dropped = results_and_gradients(ours, sequences, states)
    assert_close(dropped, results_and_gradients(theirs, sequences, states))
    kept = results_and_gradients(ours, sequences, states, training=False)
    assert not np.allclose(dropped[0][0], kept[0][0])


@cells
def test_weight_dropout_drops_the_same_recurrent_weights_at_all_steps(way, cell):
    _, theirs = pair(cell, return_sequences=True, return_state=True)
    ours = PAIRS[cell][0].from_config({**theirs.get_config(), "weight_dropout": 0.4})
    ours.build((None, None, FEATURES))
    for variable, other in zip(ours.trainable_variables, theirs.trainable_variables, strict=True):
        variable.assign(other)
    sequences, states = random_sequences(3, 6), random_states(theirs, 3)
    ours.weight_dropout.seed_generator.state.assign([0, 5])
    kept = ours.weight_dropout(tf.ones_like(theirs.cell.recurrent_kernel), training=True)
    ours.weight_dropout.seed_generator.state.assign([0, 5])
    dropped, gradients = results_and_gradients(ours, sequences, states)
    assert_close(
        ours(sequences, initial_state=states), theirs(sequences, initial_state=states)
    )  # not in training

    theirs.cell.recurrent_kernel.assign(theirs.cell.recurrent_kernel * kept)
    expected, expected_gradients = results_and_gradients(theirs, sequences, states)
    place = 1 + len(states) + 1
    expected_gradients[place] = expected_gradients[place] * kept
    assert 0 < np.count_nonzero(kept == 0) < kept.shape.num_elements()
    assert_close(dropped, expected)
    assert_close(gradients, expected_gradients)


@cells
def test_weight_dropout_in_mixed_precision(way, cell):
    layer_class, _, arguments = PAIRS[cell]
    layer = layer_class(16, weight_dropout=0.5, dtype="mixed_bfloat16", **arguments)
    with tf.GradientTape() as tape:
        loss = tf.reduce_sum(tf.cast(layer(random_sequences(4, 5), training=True), tf.float32) ** 2)
    gradient = tape.gradient(loss, layer.cell.recurrent_kernel.value)
    assert gradient.dtype == tf.float32
    assert 0.3 < np.mean(gradient.numpy() == 0) < 0.7


@pytest.mark.parametrize(
    "options", [{"activation": "relu"}, {"unroll": True}, {"recurrent_dropout": 0.1}]
)
def test_weight_dropout_is_refused_where_the_loop_is_keras(options):
    with pytest.raises(ValueError, match="weight_dropout: needs"):
        LSTM(4, weight_dropout=0.5, **options)


@cells
@pytest.mark.parametrize(
    "options",
    [
        {"recurrent_dropout": 0.4, "seed": 5},
        {"dropout": 0.4, "implementation": 1, "use_cudnn": False, "seed": 5},
        {"activation": "relu"},
        {"recurrent_activation": "hard_sigmoid"},
        {"unroll": True},
    ],
    ids=lambda options: next(iter(options)),
)
def test_what_the_loop_does_not_know_is_left_to_keras(cell, options, monkeypatch):
    ours, theirs = pair(cell, return_sequences=True, **options)
    monkeypatch.setattr(recurrent, "layer_loop", None)
    sequences, states = random_sequences(2, 3), random_states(ours, 2)
    assert_close(
        results_and_gradients(ours, sequences, states),
        results_and_gradients(theirs, sequences, states),
    )


@pytest.mark.skipif(bool(tf.config.list_physical_devices("GPU")), reason="a GPU has cuDNN")
def test_cudnn_where_there_is_none_is_an_error_as_in_keras():
    with pytest.raises(ValueError, match="use_cudnn=True was specified"):
        LSTM(UNITS, use_cudnn=True)(random_sequences(2, 3))


@cells
def test_stateful_goes_on_where_the_last_batch_ended(way, cell):
    ours, theirs = pair(cell, stateful=True, return_sequences=True)
    first = ours(random_sequences(2, 3))
    assert_close(first, theirs(random_sequences(2, 3)))
    assert_close(ours(random_sequences(2, 3)), theirs(random_sequences(2, 3)))
    ours.reset_state()
    assert_close(ours(random_sequences(2, 3)), first, tolerance=0)


@pytest.mark.parametrize("cell", ["lstm", "gru"])
@pytest.mark.parametrize("training", [True, False])
@settings(
    max_examples=8,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(
    lengths=st.lists(st.integers(0, 6), min_size=1, max_size=5).filter(any),
    units=st.sampled_from([1, 5, 33]),
)
def test_both_directions_at_once_are_those_of_keras(way, cell, training, lengths, units):
    options = {"return_sequences": True, "return_state": True}
    layers = [pair(cell, units, go_backwards=back, **options) for back in (False, True)]
    (ours, theirs), (ours_back, theirs_back) = layers
    sequences = random_sequences(len(lengths), max(lengths), seed=3)
    mask = tf.sequence_mask(lengths)

    def stock(sequences):
        found, *states = theirs(sequences, mask=mask, training=training)
        back, *back_states = theirs_back(sequences, mask=mask, training=training)
        return tf.concat([found, tf.reverse(back, [1])], axis=-1), states, back_states

    def measured(run, used):
        weights = [variable.value for layer in used for variable in layer.trainable_variables]
        with tf.GradientTape() as tape:
            tape.watch(sequences)
            results = tf.nest.flatten(run(sequences))
            loss = tf.add_n([tf.reduce_sum(tf.sin(r * (n + 1.3))) for n, r in enumerate(results)])
        return results, tape.gradient(loss, [sequences, *weights])

    found = measured(
        lambda sequences: both_directions(ours, ours_back, sequences, mask, training),
        (ours, ours_back),
    )
    assert_close(found, measured(stock, (theirs, theirs_back)))


@cells
@pytest.mark.parametrize("return_sequences", [True, False])
def test_bidirectional(way, cell, return_sequences):
    ours, theirs = (
        keras.layers.Bidirectional(layer)
        for layer in pair(cell, return_sequences=return_sequences, return_state=True)
    )
    sequences, mask = random_sequences(3, 5), make_mask("right", 3, 5)
    theirs(sequences)
    ours(sequences)
    ours.set_weights(theirs.get_weights())
    assert isinstance(ours.backward_layer, PAIRS[cell][0])
    assert_close(ours(sequences, mask=mask), theirs(sequences, mask=mask))


@cells
@pytest.mark.parametrize("policy", ["float32", "mixed_bfloat16", "float64"])
@pytest.mark.parametrize("return_sequences", [True, False])
def test_shapes_and_dtypes_that_are_known_beforehand(cell, policy, return_sequences):
    """Keras asks for them; the loop is left out."""
    layer, _ = pair(cell, return_sequences=return_sequences, return_state=True, dtype=policy)
    sequences, mask = random_sequences(3, 5), tf.ones((3, 5), "bool")
    for batch, time in ((None, None), (3, 5)):
        known = keras.Operation.compute_output_spec(
            layer,
            keras.KerasTensor((batch, time, FEATURES), sequences.dtype.name),
            mask=keras.KerasTensor((batch, time), "bool"),
        )
        for spec, output in zip(known, layer(sequences, mask=mask), strict=True):
            assert spec.dtype == output.dtype.name
            assert len(spec.shape) == output.shape.rank
            assert output.shape.is_compatible_with(spec.shape)
        assert known[-1].shape == (batch, UNITS)


@cells
@pytest.mark.parametrize("policy", ["mixed_bfloat16", "mixed_float16"])
def test_mixed_precision_keeps_state_better_than_keras(way, cell, policy):
    ours, theirs = pair(cell, return_sequences=True, return_state=True, dtype=policy)
    exact, _ = pair(cell, return_sequences=True, return_state=True)
    sequences = random_sequences(32, 40)

    def results(layer):
        with tf.GradientTape() as tape:
            outputs = layer(sequences, training=True)
            loss = tf.add_n([tf.reduce_mean(tf.cast(o, tf.float32) ** 2) for o in outputs])
        return outputs, tape.gradient(loss, [v.value for v in layer.trainable_variables])

    def errors(tensors, true_tensors):
        pairs = zip(tensors, true_tensors, strict=True)
        return np.array([np.abs(np.float32(a) - b).mean() / np.abs(b).mean() for a, b in pairs])

    outputs, gradients = results(ours)
    true_outputs, true_gradients = results(exact)
    assert {output.dtype.name for output in outputs} == {ours.compute_dtype}
    assert {gradient.dtype for gradient in gradients} == {tf.float32}
    assert (errors(outputs, true_outputs) < errors(results(theirs)[0], true_outputs)).all()
    assert errors(gradients, true_gradients).max() < 0.01


def test_float64():
    ours, theirs = pair("lstm", return_sequences=True, return_state=True, dtype="float64")
    sequences = tf.cast(random_sequences(3, 5), tf.float64)
    states = [tf.cast(state, tf.float64) for state in random_states(ours, 3)]
    assert_close(
        results_and_gradients(ours, sequences, states),
        results_and_gradients(theirs, sequences, states),
        tolerance=1e-12,
    )


def tagger(recurrent_layer):
    """Returns a functional model from token ids with padding 0 to a class at every token."""
    tokens = keras.Input((None,), dtype="int32")
    embedded = keras.layers.Embedding(9, FEATURES, mask_zero=True)(tokens)
    return keras.Model(tokens, keras.layers.Dense(5)(recurrent_layer(embedded)))


@cells
def test_fit_goes_the_way_of_keras(way, cell):
    models = [tagger(layer) for layer in pair(cell, return_sequences=True)]
    models[1].set_weights(models[0].get_weights())
    generator = np.random.default_rng(4)
    tokens = generator.integers(1, 9, size=(16, 6)) * (
        np.arange(6) < generator.integers(1, 7, (16, 1))
    )
    labels = tokens % 5
    losses = []
    for model in models:
        model.compile(
            optimizer=keras.optimizers.SGD(0.5),
            loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        )
        history = model.fit(tokens, labels, batch_size=8, epochs=4, shuffle=False, verbose=0)
        losses.append(history.history["loss"])
    np.testing.assert_allclose(losses[0], losses[1], rtol=1e-5)
    assert losses[0][-1] < losses[0][0]
    assert_close(models[0].get_weights(), models[1].get_weights())


@cells
def test_saved_and_loaded(cell, tmp_path):
    model = tagger(pair(cell, return_sequences=True)[0])
    tokens = np.array([[1, 2, 3, 0], [4, 5, 0, 0]])
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    assert type(loaded.layers[2]) is PAIRS[cell][0]
    assert_close(loaded(tokens), model(tokens), tolerance=0)


@cells
def test_weights_files_are_exchanged_with_keras(cell, tmp_path):
    ours, theirs = (tagger(layer) for layer in pair(cell, return_sequences=True))
    tokens = np.array([[1, 2, 3, 0], [4, 5, 0, 0]])
    for number, (source, target) in enumerate([(ours, theirs), (theirs, ours)]):
        source.set_weights([weight + 0.1 for weight in source.get_weights()])
        source.save_weights(tmp_path / f"{number}.weights.h5")
        target.load_weights(tmp_path / f"{number}.weights.h5")
        assert_close(target(tokens), source(tokens))


@cells
def test_config_is_that_of_keras(cell):
    ours, theirs = pair(cell, dropout=0.2, go_backwards=True, name="encoder")
    assert ours.get_config() == theirs.get_config()
    assert type(ours).from_config(ours.get_config()).get_config() == ours.get_config()
    name = keras.saving.get_registered_name(type(ours))
    assert name == f"seq2seq>{type(ours).__name__}"


@cells
def test_exported(cell, tmp_path):
    model = tagger(pair(cell, return_sequences=True)[0])
    model.export(tmp_path / "exported", verbose=False)
    tokens = tf.constant([[1, 2, 3, 0], [4, 5, 0, 0]])
    exported = tf.saved_model.load(tmp_path / "exported")
    assert_close(exported.serve(tokens), model(tokens))
