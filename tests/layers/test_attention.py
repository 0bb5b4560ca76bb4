"""Attentions against plain numpy, row by row and without padding."""

from functools import partial

import keras
import numpy as np
import pytest
import tensorflow as tf

from seq2seq.layers.attention import BahdanauAttention, LocationAwareAttention, LuongAttention
from seq2seq.layers.multi_head_attention import MultiHeadAttention

UNITS, WIDTH = 4, 6

KINDS = {
    "general": partial(LuongAttention, UNITS),
    "dot": partial(LuongAttention, UNITS, score="dot"),
    "scaled_dot": partial(LuongAttention, UNITS, score="scaled_dot"),
    "concat": partial(LuongAttention, UNITS, score="concat"),
    "local": partial(LuongAttention, UNITS, window=2),
    "bahdanau": partial(BahdanauAttention, UNITS, units=5),
    "normalized": partial(BahdanauAttention, UNITS, normalize=True),
    "coverage": partial(BahdanauAttention, UNITS, coverage=True),
    "coverage, local": partial(BahdanauAttention, UNITS, units=3, coverage=True, window=1),
    "location": partial(LocationAwareAttention, UNITS, filters=2, width=3),
    "heads": partial(MultiHeadAttention, UNITS, heads=2, units=6),
}
WITH_HISTORY = ["coverage", "coverage, local", "location"]

kinds = pytest.mark.parametrize("kind", KINDS)


@pytest.fixture
def policy():
    """Lets a test set the dtype policy, and restores it."""
    yield keras.config.set_dtype_policy
    keras.config.set_dtype_policy("float32")


def make(kind, dtype="float32", **options):
    """Returns an attention with random weights that are not small."""
    attention = KINDS[kind](**options)
    attend(attention, *inputs(kind, dtype=dtype))
    generator = np.random.default_rng(5)
    for variable in attention.weights:
        variable.assign(generator.normal(scale=0.8, size=variable.shape))
    return attention


def inputs(kind, source_length=5, steps=3, dtype="float32", seed=0):
    """Returns encoder outputs, their lengths (one of them 0) and queries."""
    generator = np.random.default_rng(seed)
    outputs = generator.normal(size=(3, source_length, UNITS if "dot" in kind else WIDTH))
    query = generator.normal(size=(3, steps, UNITS))
    return tf.constant(outputs, dtype), tf.constant([5, 2, 0]), tf.constant(query, dtype)


def attend(attention, outputs, lengths, query):
    memory = attention.prepare(outputs, lengths)
    return attention(query, memory, attention.initial_state(memory))


def softmax(scores):
    exponentials = np.exp(scores - scores.max(axis=-1, keepdims=True))
    return exponentials / exponentials.sum(axis=-1, keepdims=True)


def expected_scores(attention, values, query, coverage, previous):
    """Returns the scores of one step, `(source_length,)`."""
    score = attention.score
    if getattr(score, "kind", None):
        keys = values @ score.key_projection.kernel.numpy() if score.kind == "general" else values
        return keys @ query / (UNITS**0.5 if score.kind == "scaled_dot" else 1)
    hidden = values @ score.key_projection.kernel.numpy() + score.key_projection.bias.numpy()
    hidden = hidden + query @ score.query_projection.kernel.numpy()
    history = attention.history
    if history is not None and history.field == "coverage":
        hidden += coverage[:, None] * history.projection.kernel.numpy()
    if history is not None and history.field == "previous_weights":
        padded = np.pad(previous, 1)
        seen = np.stack([padded[:-2], padded[1:-1], padded[2:]], axis=1)
        filters = history.convolution.kernel.numpy()[:, 0]
        hidden += seen @ filters @ history.projection.kernel.numpy()
    v = score.v.numpy()
    if score.normalize:
        v = score.length.numpy() * v / np.linalg.norm(v)
    return np.tanh(hidden) @ v


def expected_weights(attention, values, queries):
    """Returns the weights of one row's steps, `(steps, source_length)`."""
    coverage, previous, rows = np.zeros(len(values)), np.zeros(len(values)), []
    for query in queries:
        scores = expected_scores(attention, values, query, coverage, previous)
        factor = 1.0
        if attention.window is not None:
            hidden = np.tanh(query @ attention.window.hidden.kernel.numpy())
            centre = len(values) / (1 + np.exp(-hidden @ attention.window.v.numpy()))
            distance, reach = np.arange(len(values)) - centre, attention.window.reach
            scores = np.where(np.abs(distance) <= reach, scores, -np.inf)
            factor = np.exp(-(distance**2) / (2 * (reach / 2) ** 2))
        previous = softmax(scores) * factor
        coverage = coverage + previous
        rows.append(previous)
    return np.array(rows)


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "heads"])
def test_weights_and_context(kind):
    attention = make(kind)
    outputs, lengths, query = inputs(kind)
    context, weights, state = attend(attention, outputs, lengths, query)
    assert list(state) == ([attention.history.field] if kind in WITH_HISTORY else [])
    for row, length in enumerate(lengths[:2]):
        values = outputs[row, :length].numpy()
        expected = expected_weights(attention, values, query[row].numpy())
        np.testing.assert_allclose(weights[row, :, :length], expected, atol=1e-6)
        np.testing.assert_allclose(context[row], expected @ values, atol=1e-5)


def test_heads_attend_each_on_its_own():
    attention = make("heads")
    outputs, lengths, query = inputs("heads")
    context, weights, _ = attend(attention, outputs, lengths, query)
    kernels = [
        layer.kernel.numpy()
        for layer in (attention.query_projection, attention.memory.keys, attention.memory.values)
    ]
    for row, length in enumerate(lengths[:2]):
        values, alignments, contexts = outputs[row, :length].numpy(), [], []
        for head in range(2):
            q, k, v = (kernel[:, head] for kernel in kernels)
            aligned = softmax(query[row].numpy() @ q @ (values @ k).T / 3**0.5)
            alignments.append(aligned)
            contexts.append(aligned @ values @ v)
        np.testing.assert_allclose(context[row], np.concatenate(contexts, axis=-1), atol=1e-5)
        np.testing.assert_allclose(weights[row, :, :length], np.mean(alignments, 0), atol=1e-6)


@kinds
def test_padding_weighs_nothing_and_an_empty_source_gives_zeros(kind):
    attention = make(kind)
    outputs, lengths, query = inputs(kind)
    context, weights, _ = attend(attention, outputs, lengths, query)
    longer = tf.pad(outputs, [[0, 0], [0, 4], [0, 0]], constant_values=7.0)
    padded_context, padded_weights, _ = attend(attention, longer, lengths, query)
    np.testing.assert_allclose(padded_context, context, atol=1e-6)
    np.testing.assert_allclose(padded_weights[:, :, :5], weights, atol=1e-6)
    for row, length in enumerate(lengths):
        assert not padded_weights[row, :, length:].numpy().any()
    assert not context[2].numpy().any()


@kinds
def test_gradients(kind, policy):
    """Of all that went in, along random directions, against finite differences."""
    policy("float64")
    attention = make(kind, dtype="float64")
    outputs, lengths, query = inputs(kind, dtype="float64")
    outputs, query = tf.Variable(outputs), tf.Variable(query)
    variables = [outputs, query, *(weight.value for weight in attention.trainable_weights)]

    def loss():
        context, weights, _ = attend(attention, outputs.value(), lengths, query.value())
        return tf.reduce_sum(tf.sin(3 * context)) + tf.reduce_sum(tf.sin(5 * weights))

    with tf.GradientTape() as tape:
        result = loss()
    gradients = tape.gradient(result, variables)
    generator, step = np.random.default_rng(1), 1e-6
    for variable, gradient in zip(variables, gradients, strict=True):
        direction = generator.normal(size=variable.shape)
        variable.assign_add(step * direction)
        above = loss()
        variable.assign_sub(2 * step * direction)
        slope = (above - loss()) / (2 * step)
        variable.assign_add(step * direction)
        np.testing.assert_allclose(np.sum(gradient * direction), slope, rtol=1e-6, atol=1e-7)
    for row, length in enumerate(lengths):
        assert not gradients[0][row, length:].numpy().any()
    assert not gradients[1][2].numpy().any()


@kinds
def test_steps_one_by_one_are_the_whole(kind):
    attention = make(kind)
    outputs, lengths, query = inputs(kind)
    whole = tf.function(attend)(attention, outputs, lengths, query)
    memory = attention.prepare(outputs, lengths)
    state, steps = attention.initial_state(memory), []
    for step in range(3):
        *found, state = attention(query[:, step : step + 1], memory, state)
        steps.append(found)
    for one, other in zip([*zip(*steps, strict=True)], whole[:2], strict=True):
        np.testing.assert_allclose(tf.concat(one, axis=1), other, atol=1e-6)
    for field, value in state.items():
        np.testing.assert_allclose(value, whole[2][field], atol=1e-6)


@kinds
def test_hypotheses_of_one_source_share_its_memory(kind):
    """Three rows a source, in one step after another, as if each had a memory of its own."""
    attention = make(kind)
    outputs, lengths, query = inputs(kind)
    query = tf.reverse(tf.repeat(query, 3, axis=0), [1]) * np.linspace(0.5, 2, 9)[:, None, None]
    copied = attend(attention, tf.repeat(outputs, 3, axis=0), tf.repeat(lengths, 3), query)
    memory = attention.prepare(outputs, lengths)
    initial, found = attention.initial_state(memory), []
    state = {field: tf.repeat(value, 3, axis=0) for field, value in initial.items()}
    for step in range(3):
        *one, state = attention(query[:, step : step + 1], memory, state)
        found.append(one)
    for several, expected in zip(zip(*found, strict=True), copied[:2], strict=True):
        np.testing.assert_allclose(tf.concat(several, axis=1), expected, atol=1e-6)


@kinds
def test_a_loop_only_where_a_step_needs_the_one_before(kind):
    attention = make(kind)
    specs = [tf.TensorSpec((None, *tensor.shape[1:]), tensor.dtype) for tensor in inputs(kind)]
    graph = tf.function(partial(attend, attention)).get_concrete_function(*specs).graph
    loops = [node.type for node in graph.get_operations() if "While" in node.type]
    assert len(loops) == (1 if kind in WITH_HISTORY else 0)


@kinds
def test_mixed_precision_weighs_in_float32(kind, policy):
    true_context, true_weights, _ = attend(make(kind), *inputs(kind))
    policy("mixed_bfloat16")
    attention = make(kind, dtype="bfloat16")
    context, weights, state = attend(attention, *inputs(kind, dtype="bfloat16"))
    assert context.dtype == tf.bfloat16
    assert {tensor.dtype for tensor in (weights, *state.values())} == {tf.float32}
    np.testing.assert_allclose(tf.cast(context, tf.float32), true_context, atol=0.1)
    np.testing.assert_allclose(weights, true_weights, atol=0.05)
    if "local" not in kind:
        np.testing.assert_allclose(tf.reduce_sum(weights[:2], axis=-1), 1.0, atol=1e-6)


@keras.saving.register_keras_serializable(package="tests")
class Attended(keras.layers.Layer):
    """Prepares and attends in one layer, so that it can be saved as a model."""

    def __init__(self, attention, **kwargs):
        super().__init__(**kwargs)
        self.attention = attention

    def call(self, outputs, lengths, query):
        return attend(self.attention, outputs, lengths, query)[:2]

    def get_config(self):
        attention = keras.saving.serialize_keras_object(self.attention)
        return {**super().get_config(), "attention": attention}

    @classmethod
    def from_config(cls, config):
        return cls(keras.saving.deserialize_keras_object(config.pop("attention")), **config)


@kinds
@pytest.mark.filterwarnings("ignore:.*unbuilt state")
def test_saved_and_loaded(kind, tmp_path):
    attention = make(kind, name="attention")
    copy = type(attention).from_config(attention.get_config())
    assert copy.get_config() == attention.get_config()
    tensors = inputs(kind)
    given = [keras.Input(tensor.shape[1:], dtype=tensor.dtype) for tensor in tensors]
    model = keras.Model(given, Attended(attention)(*given))
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    for one, other in zip(loaded(tensors), model(tensors), strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize(
    ("make_attention", "message"),
    [
        (partial(LuongAttention, UNITS, score="generall"), "score: must be general, dot, scaled"),
        (KINDS["dot"], "'dot' needs encoder outputs as wide as the decoder; they have 6 and 4"),
        (partial(LuongAttention, UNITS, window=0), "window: must be a whole number of at least 1"),
        (partial(BahdanauAttention, UNITS, units=0), "units: must be a whole number"),
        (partial(LocationAwareAttention, UNITS, width=0), "width: must be a whole number"),
        (partial(MultiHeadAttention, UNITS, heads=3), "heads: must divide the 4 units, got 3"),
    ],
)
@pytest.mark.filterwarnings("ignore:.*unbuilt state")
def test_what_does_not_fit_is_refused_with_a_reason(make_attention, message):
    with pytest.raises(ValueError, match=message):
        attend(make_attention(), *inputs("general"))
