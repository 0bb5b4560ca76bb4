"""What a decoder does at each step, against numpy; searches with it against searches without it."""

import contextlib
from functools import partial

import keras
import numpy as np
import pytest
import tensorflow as tf

from seq2seq.decoding.beam import BeamSearch
from seq2seq.decoding.greedy import Greedy
from seq2seq.inference.compression import rounded
from seq2seq.layers.attention import BahdanauAttention, LuongAttention
from seq2seq.layers.bridge import DenseBridge
from seq2seq.models.decoder import Decoder
from seq2seq.models.encoder import Encoder
from seq2seq.models.translator import Translator
from seq2seq.ops.attention import dot_attention
from seq2seq.ops.dense import packed_product
from seq2seq.ops.dispatch import PackedWeights, inference_kernels, steps_usable, supports_int8
from seq2seq.ops.processor import AMX, compiler_flags
from seq2seq.ops.recurrent_kernels import packed_step
from seq2seq.tasks.translation import search
from seq2seq.tasks.translation.search import Search

pytestmark = pytest.mark.compiled

HEADER = 16  # the size of a packed weight's header, in floats; first there is the format
NO_FORMAT, BFLOAT16_WORDS = 0, 1
DEEPEST = 1984 if AMX in compiler_flags() else 2040  # for products in 8 bits
TOO_DEEP = DEEPEST + 1

RANDOM = np.random.default_rng(7)
# So few rows that nothing is packed; too many for that, in one tile and in several.
FIRST_AND_LATER_ROWS = [(1, 1), (1, 5), (2, 20), (3, 3), (3, 2), (16, 80), (0, 0)]


def drawn(*shape):
    return RANDOM.normal(size=shape).astype(np.float32)


def as_they_are(matrix):
    return matrix


# Matrices of bfloat16 values take another way where there are few rows.
MATRICES = pytest.mark.parametrize("values", [as_they_are, rounded])


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


@pytest.fixture
def weights():
    packed = PackedWeights()
    with packed.in_use():
        yield packed


@pytest.mark.parametrize("rows", FIRST_AND_LATER_ROWS)
@pytest.mark.parametrize("transposed", [False, True])
@pytest.mark.parametrize(("inputs", "outputs"), [(5, 7), (64, 96), (64, 100), (600, 33)])
@MATRICES
def test_dense(weights, rows, transposed, inputs, outputs, values):
    matrix, bias = values(drawn(inputs, outputs)), drawn(outputs)
    kernel = tf.Variable(matrix.T if transposed else matrix)
    for count in rows:
        x = drawn(count, inputs)
        for each in (bias, None):
            found = packed_product(x, kernel, each, transposed=transposed)
            expected = x.astype(np.float64) @ matrix + (0 if each is None else bias)
            np.testing.assert_allclose(found, expected, atol=2e-4)
            if not transposed:
                found = packed_product(x, kernel, each, tanh=True)
                np.testing.assert_allclose(found, np.tanh(expected), atol=2e-4)


def step(cell, x, variables, biases, states):
    matrices = [tf.convert_to_tensor(variable) for variable in variables]
    return packed_step(cell, x, variables, (*matrices, *biases), states)


def check_lstm(rows, kernels, of_input=np.matmul, of_states=np.matmul, tolerance=1e-5):
    """Compares steps of an LSTM with numpy's, whose products are `of_input` and `of_states`."""
    kernel, recurrent = kernels
    variables, units = tuple(map(tf.Variable, kernels)), len(recurrent)
    bias = drawn(4 * units)
    for count in rows:
        x, h, c = drawn(count, len(kernel)), drawn(count, units), drawn(count, units)
        gates = of_input(x, kernel) + of_states(h, recurrent) + bias
        i, f, g, o = np.split(gates, 4, axis=1)
        after_c = sigmoid(f) * c + sigmoid(i) * np.tanh(g)
        expected = sigmoid(o) * np.tanh(after_c), after_c
        states = tf.constant(h), tf.constant(c)
        found = step("lstm", tf.constant(x), variables, (bias,), states)
        for one, other in zip(found, expected, strict=True):
            np.testing.assert_allclose(one, other, atol=tolerance)


def check_gru(rows, kernels, product=np.matmul, dtype=tf.float32, tolerance=1e-5):
    """Compares steps of a GRU with numpy's, whose products are `product`."""
    kernel, recurrent = kernels
    variables, units = tuple(map(tf.Variable, kernels)), len(recurrent)
    biases = drawn(3 * units), drawn(3 * units)
    for count in rows:
        x, h = rounded(drawn(count, len(kernel))), rounded(drawn(count, units))
        of_x = np.split(product(x, kernel) + biases[0], 3, axis=1)
        of_h = np.split(product(h, recurrent) + biases[1], 3, axis=1)
        z, r = sigmoid(of_x[0] + of_h[0]), sigmoid(of_x[1] + of_h[1])
        expected = z * h + (1 - z) * np.tanh(of_x[2] + r * of_h[2])
        [found] = step("gru", tf.cast(x, dtype), variables, biases, (tf.cast(h, dtype),))
        assert found.dtype == dtype
        result = 2**-8 if dtype == tf.bfloat16 else 0
        np.testing.assert_allclose(np.float32(found), expected, rtol=result, atol=tolerance)


@pytest.mark.parametrize("rows", FIRST_AND_LATER_ROWS)
@pytest.mark.parametrize("units", [3, 40, 64])
@MATRICES
def test_a_step_of_an_lstm(weights, rows, units, values):
    check_lstm(rows, (values(drawn(6, 4 * units)), values(drawn(units, 4 * units))))


@pytest.mark.parametrize("rows", FIRST_AND_LATER_ROWS)
@pytest.mark.parametrize("units", [3, 40, 64])
@MATRICES
def test_a_step_of_a_gru(weights, rows, units, values):
    check_gru(rows, (values(drawn(6, 3 * units)), values(drawn(units, 3 * units))))


@pytest.mark.parametrize("rows", FIRST_AND_LATER_ROWS)
@pytest.mark.parametrize("transposed", [False, True])
@pytest.mark.parametrize(("inputs", "outputs"), [(5, 7), (64, 96), (64, 100), (601, 33)])
def test_dense_in_bfloat16(weights, rows, transposed, inputs, outputs):
    matrix, bias = rounded(drawn(inputs, outputs)), drawn(outputs)
    kernel = tf.Variable(matrix.T if transposed else matrix)
    for count in rows:
        x = rounded(drawn(count, inputs))
        found = packed_product(tf.cast(x, tf.bfloat16), kernel, bias, transposed=transposed)
        assert found.dtype == tf.float32
        np.testing.assert_allclose(found, x.astype(np.float64) @ matrix + bias, atol=2e-4)


@pytest.mark.parametrize("cell", ["lstm", "gru"])
@pytest.mark.parametrize("rows", FIRST_AND_LATER_ROWS)
@pytest.mark.parametrize("units", [3, 64])
def test_a_step_in_bfloat16(cell, rows, units):
    gates = {"lstm": 4, "gru": 3}[cell]
    kernels = [rounded(drawn(size, gates * units)) for size in (6, units)]
    biases = (drawn(gates * units),) * (1 if cell == "lstm" else 2)
    before, results = rounded(drawn(units)), []
    for dtype in (tf.float32, tf.bfloat16):
        with PackedWeights().in_use():
            variables = tuple(map(tf.Variable, kernels))
            results.append([])
            for count in rows:
                state = tf.cast(before * tf.ones((count, 1)), dtype)
                states = (state,) * (2 if cell == "lstm" else 1)
                x = tf.cast(tf.ones((count, 6)) / 2, dtype)
                results[-1] += step(cell, x, variables, biases, states)
    for one, other in zip(*results, strict=True):
        np.testing.assert_allclose(one, np.float32(other), rtol=2**-7, atol=0.03)


@pytest.mark.parametrize("rows", FIRST_AND_LATER_ROWS)
def test_a_dense_layer_in_bfloat16(rows):
    matrix, bias = rounded(drawn(64, 100)), drawn(100)
    kernel = tf.Variable(matrix)
    with PackedWeights().in_use():
        for count in rows:
            x = rounded(drawn(count, 64))
            for tanh in (False, True):
                found = packed_product(tf.cast(x, tf.bfloat16), kernel, bias, tanh=tanh)
                assert found.dtype == (tf.bfloat16 if tanh else tf.float32)
                expected = np.tanh(x @ matrix + bias) if tanh else x @ matrix + bias
                np.testing.assert_allclose(
                    np.float32(found), expected, rtol=2**-8 if tanh else 0, atol=2e-4
                )


def in_8_bits(values, axis):
    """Returns each line's integers, and what they are multiples of."""
    most = np.abs(values).max(axis=axis, keepdims=True)
    inverse = np.divide(np.float32(127), most, where=most > 0, out=np.zeros_like(most))
    return np.rint(values * inverse).astype(np.int64), most / np.float32(127)


def product_in_8_bits(x, matrix):
    (left, rows), (right, columns) = in_8_bits(x, 1), in_8_bits(matrix, 0)
    return (left @ right) * rows.astype(np.float64) * columns


needs_8_bits = pytest.mark.skipif(
    not supports_int8(), reason="this processor has no instructions for products in 8 bits"
)


@needs_8_bits
@pytest.mark.parametrize("rows", FIRST_AND_LATER_ROWS)
@pytest.mark.parametrize("transposed", [False, True])
@pytest.mark.parametrize("dtype", [tf.float32, tf.bfloat16])
@pytest.mark.parametrize(("inputs", "outputs"), [(5, 7), (64, 96), (70, 100), (DEEPEST, 33)])
def test_dense_in_8_bits(rows, transposed, dtype, inputs, outputs):
    matrix, bias = drawn(inputs, outputs), drawn(outputs)
    matrix[:, 3] = 0
    kernel = tf.Variable(matrix.T if transposed else matrix)
    with PackedWeights(eight_bits=True).in_use():
        for count in rows:
            x = drawn(count, inputs)
            x[count // 2 :] *= 100
            x[:1] = 0
            x = rounded(x)
            found = packed_product(tf.cast(x, dtype), kernel, bias, transposed=transposed)
            expected = product_in_8_bits(x, matrix) + bias
            np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-4)
            alone = [
                packed_product(tf.cast(row, dtype), kernel, bias, transposed=transposed)
                for row in x[:, np.newaxis]
            ]
            np.testing.assert_array_equal(found, np.concatenate([found[:0], *alone]))


@needs_8_bits
def test_what_is_too_deep_for_8_bits_is_exact():
    matrix, x = drawn(TOO_DEEP, 33), drawn(20, TOO_DEEP)
    with PackedWeights(eight_bits=True).in_use():
        found = packed_product(x, tf.Variable(matrix))
    np.testing.assert_allclose(found, x.astype(np.float64) @ matrix, atol=1e-3)


@needs_8_bits
@pytest.mark.parametrize("rows", FIRST_AND_LATER_ROWS)
@pytest.mark.parametrize("units", [3, 40, 64])
def test_steps_in_8_bits(rows, units):
    exact = product_in_8_bits
    with PackedWeights(eight_bits=True).in_use():
        check_lstm(rows, (drawn(6, 4 * units), drawn(units, 4 * units)), exact, exact, 1e-4)
    for dtype in (tf.float32, tf.bfloat16):
        with PackedWeights(eight_bits=True).in_use():
            kernels = drawn(6, 3 * units), drawn(units, 3 * units)
            check_gru(rows, kernels, exact, dtype, 1e-4)


@needs_8_bits
@pytest.mark.parametrize("rows", [(1, 5), (20, 80)])
def test_a_step_whose_input_is_too_deep_for_8_bits(rows):
    kernels = drawn(TOO_DEEP, 160) / 50, drawn(40, 160)
    few = rows[0] == 1  # then nothing of the layer is in 8 bits
    with PackedWeights(eight_bits=True).in_use():
        check_lstm(rows, kernels, np.matmul, np.matmul if few else product_in_8_bits, 1e-4)


@needs_8_bits
@pytest.mark.parametrize("transposed", [False, True])
def test_what_is_not_a_number_stays_so_in_8_bits(transposed):
    x, matrix = drawn(3, 70), drawn(70, 40)
    x[1, 20], matrix[33, 9] = np.nan, np.nan
    kernel = tf.Variable(matrix.T if transposed else matrix)
    with PackedWeights(eight_bits=True).in_use():
        found = np.isnan(packed_product(x, kernel, transposed=transposed))
    np.testing.assert_array_equal(found, np.isnan(x @ matrix))


def test_a_form_for_the_other_type_is_not_used(weights):
    matrix, x = drawn(64, 96), rounded(drawn(20, 64))
    kernel = tf.Variable(matrix)
    packed_product(tf.cast(x, tf.bfloat16), kernel)
    np.testing.assert_allclose(packed_product(x, kernel), x.astype(np.float64) @ matrix, atol=2e-4)


def packed(matrix, rows):
    weights = PackedWeights()
    return weights.pack("weight", tf.constant(matrix), tf.zeros((rows, 1))).numpy()


def test_only_matrices_of_bfloat16_values_are_halved_for_few_rows():
    matrix, half = drawn(320, 320), 320 * 320 // 2
    assert packed(matrix, rows=1).size == 0
    halved = packed(rounded(matrix), rows=1)
    assert halved.size == HEADER + half
    assert halved.view(np.uint32)[0] == BFLOAT16_WORDS
    almost = rounded(matrix)
    almost[-1, -1] = np.float32(0.1)
    assert packed(almost, rows=1).view(np.uint32)[0] == NO_FORMAT
    assert packed(matrix, rows=3).size >= 2 * half


def test_a_matrix_of_almost_only_bfloat16_values_loses_nothing(weights):
    matrix = rounded(drawn(320, 320))
    matrix[-1, -1] = np.float32(0.1)
    x = drawn(1, 320)
    found = packed_product(x, tf.Variable(matrix))
    np.testing.assert_allclose(found, x.astype(np.float64) @ matrix, atol=2e-4)


@pytest.mark.parametrize("width", [1, 5])
@pytest.mark.parametrize("length", [1, 9, 40])
def test_dot_attention(width, length):
    query, keys, values = drawn(3, width, 20), drawn(3, length, 20), drawn(3, length, 37)
    mask = np.arange(length) < np.array([[length], [0], [(length + 1) // 2]])
    with inference_kernels():
        context, weights = dot_attention(*map(tf.constant, (query, keys, values, mask)))
    powers = np.exp(np.einsum("bwu,bsu->bws", query, keys)) * mask[:, np.newaxis]
    expected = powers / np.maximum(powers.sum(axis=2, keepdims=True), 1e-30)
    np.testing.assert_allclose(weights, expected, atol=1e-5)
    np.testing.assert_allclose(context, expected @ values, atol=1e-4)
    assert not context.numpy()[1].any()


@pytest.mark.parametrize(
    ("width", "length"), [(1, 1), (13, 9), (64, 64), (3, 130), (65, 9), (9, 65)]
)
def test_dot_attention_and_its_gradients_are_those_of_tensorflow(width, length):
    operands = [
        tf.constant(drawn(3, *shape)) / 4 for shape in ((width, 20), (length, 20), (length, 37))
    ]
    mask = tf.sequence_mask([length, 0, (length + 1) // 2], length)
    d_context, d_weights = drawn(3, width, 37), drawn(3, width, length)

    def plain(query, keys, values, mask):
        scores = tf.where(mask[:, tf.newaxis], query @ tf.linalg.matrix_transpose(keys), -1e9)
        weights = tf.nn.softmax(scores) * tf.cast(mask, tf.float32)[:, tf.newaxis]
        return weights @ values, weights

    found = []
    for attend in (partial(dot_attention, training=True), plain):
        with tf.GradientTape() as tape:
            tape.watch(operands)
            results = attend(*operands, mask)
        found.append([*results, *tape.gradient(results, operands, [d_context, d_weights])])
    for one, other in zip(*found, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("width", [1, 13, 70])
def test_dot_attention_in_bfloat16(width):
    shapes = (3, width, 20), (3, 9, 20), (3, 9, 37)
    operands = [rounded(drawn(*shape)) / 4 for shape in shapes]
    mask = np.arange(9) < np.array([[9], [0], [5]])
    d_context, d_weights = rounded(drawn(3, width, 37)), drawn(3, width, 9)
    found = []
    for dtype in (tf.bfloat16, tf.float32):
        given = [tf.cast(operand, dtype) for operand in operands]
        with tf.GradientTape() as tape:
            tape.watch(given)
            context, weights = dot_attention(*given, tf.constant(mask), training=True)
        gradients = tape.gradient([context, weights], given, [tf.cast(d_context, dtype), d_weights])
        assert all(each.dtype == dtype for each in (context, *gradients))
        found.append([np.float32(each) for each in (context, weights, *gradients)])
    for one, other in zip(*found, strict=True):
        np.testing.assert_allclose(one, other, rtol=0.02, atol=0.03)


def test_only_a_search_steps_on_packed_weights():
    assert not steps_usable(tf.float32)
    with PackedWeights().in_use():
        assert steps_usable(tf.float32)
        assert steps_usable(tf.bfloat16)
        assert not steps_usable(tf.float64)
    assert not steps_usable(tf.float32)


MODELS = {
    "lstm": {"cell": "lstm", "attention": LuongAttention},
    "deep_gru": {"cell": "gru", "layers": 2, "attention": BahdanauAttention},
    "fed": {
        "cell": "lstm",
        "attention": partial(LuongAttention, score="scaled_dot"),
        "input_feeding": True,
    },
    "no_attention": {"cell": "gru"},
}


@pytest.mark.parametrize("embeddings", ["separate", "tied"])
@pytest.mark.parametrize("name", MODELS)
def test_searches_find_the_same_without_packed_weights(monkeypatch, name, embeddings):
    keras.utils.set_random_seed(3)
    random = np.random.default_rng(5)
    encoder, decoder = (
        Encoder(cell=MODELS[name]["cell"], units=20),
        Decoder(units=40, **MODELS[name]),
    )
    model = Translator(50, 70, encoder, decoder, DenseBridge, 33, embeddings=embeddings)
    for strategy in (Greedy(), BeamSearch(4, n_best=3)):
        packed = Search((model,), strategy, token_scores=True)
        plain = Search((model,), strategy, token_scores=True)
        for batch in (1, 20):
            lengths = random.integers(1, 9, batch).astype(np.int32)
            source = random.integers(4, 50, (batch, 9)).astype(np.int32)
            rows = source, lengths, np.arange(batch, dtype=np.int32)
            found = packed(*rows)
            with monkeypatch.context() as patch:
                patch.setattr(search.PackedWeights, "in_use", contextlib.nullcontext)
                expected = plain(*rows)
            np.testing.assert_array_equal(found.tokens, expected.tokens)
            np.testing.assert_allclose(found.token_scores, expected.token_scores, atol=1e-4)


def test_new_weights_are_seen_by_the_next_search():
    keras.utils.set_random_seed(3)
    decoder = Decoder(units=40, attention=LuongAttention)
    model = Translator(50, 70, Encoder(units=20), decoder, DenseBridge, 33)
    find = Search((model,), Greedy())
    rows = np.full((5, 4), 7, np.int32), np.full(5, 4, np.int32), np.arange(5, dtype=np.int32)
    find(*rows)
    model.output_layer.bias.assign(np.where(np.arange(70) == 42, 1e3, 0))
    assert (find(*rows).tokens.numpy()[:, 0] == 42).all()
