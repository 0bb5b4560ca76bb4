"""The CRF against enumerating all label sequences, in NumPy and, for gradients, in TensorFlow."""

import itertools

import keras
import numpy as np
import pytest
import tensorflow as tf

from seq2seq.layers.crf import CRF
from seq2seq.ops.crf import (
    FORBIDDEN,
    divergence,
    marginals,
    most_probable,
    n_best,
    negative_log_likelihood,
    viterbi,
)
from seq2seq.ops.dispatch import inference_kernels

LABELS = 3
LENGTHS = np.array([4, 0, 1, 2, 3, 4])
STEPS = 4
IOB2 = [  # O, B, I and the boundary: I follows B or I only
    [True, True, False, True],
    [True, True, True, True],
    [True, True, True, True],
    [True, True, False, True],
]


def scores(scale, allowed=None, seed=0):
    random = np.random.default_rng(seed)
    logits = scale * random.normal(size=(len(LENGTHS), STEPS, LABELS)).astype(np.float32)
    transitions = scale * random.normal(size=(LABELS + 1, LABELS + 1)).astype(np.float32)
    if allowed is not None:
        transitions = np.where(allowed, transitions, FORBIDDEN)
    return tf.constant(logits, tf.float32), tf.constant(transitions, tf.float32)


def sequences(logits, transitions, length):
    """All label sequences of a row, and their scores as tensors in float64."""
    logits, transitions = tf.cast(logits, tf.float64), tf.cast(transitions, tf.float64)
    paths = list(itertools.product(range(LABELS), repeat=length))
    if length == 0:
        return paths, tf.zeros(1, tf.float64)
    found = tf.zeros(len(paths), tf.float64)
    edges = np.pad(paths, ((0, 0), (1, 1)), constant_values=LABELS)
    for step, labels in enumerate(np.transpose(paths)):
        found += tf.gather(logits[step], labels)
    for one, other in itertools.pairwise(edges.T):
        found += tf.gather_nd(transitions, np.stack([one, other], axis=1))
    return paths, found


def enumerated_loss(logits, transitions, labels):
    losses = []
    for row, length in enumerate(LENGTHS):
        paths, found = sequences(logits[row], transitions, length)
        gold = paths.index(tuple(labels[row, :length].tolist()))
        losses.append(tf.reduce_logsumexp(found) - found[gold])
    return tf.stack(losses)


def gold(allowed):
    """Labels of every row; junk behind its end."""
    random = np.random.default_rng(1)
    labels = random.integers(0, LABELS, (len(LENGTHS), STEPS))
    if allowed is not None:
        labels[labels == 2] = 1
        labels[:, 1:][labels[:, :-1] == 1] = 2
    for row, length in enumerate(LENGTHS):
        labels[row, length:] = 2
    return labels


@pytest.mark.parametrize("allowed", [None, IOB2], ids=["free", "constrained"])
@pytest.mark.parametrize("scale", [1, 30])
def test_loss_and_gradients_are_those_of_the_enumeration(allowed, scale):
    logits, transitions = scores(scale, allowed)
    labels, weights = gold(allowed), tf.constant([1, 2, 3, 0.5, 1, 0.25])
    with tf.GradientTape(persistent=True) as tape:
        tape.watch([logits, transitions])
        ours = negative_log_likelihood(logits, transitions, labels, LENGTHS)
        truth = enumerated_loss(logits, transitions, labels)
        objective = tf.reduce_sum(ours * weights)
        true_objective = tf.reduce_sum(tf.cast(truth, tf.float32) * weights)
    np.testing.assert_allclose(ours, truth, rtol=1e-5, atol=2e-5 * scale)
    for values in (logits, transitions):
        gradient = tf.convert_to_tensor(tape.gradient(objective, values))
        expected = tape.gradient(true_objective, values)
        np.testing.assert_allclose(gradient, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("allowed", [None, IOB2], ids=["free", "constrained"])
@pytest.mark.parametrize("scale", [1, 10])
def test_the_divergence_of_two_distributions_and_its_gradients(allowed, scale):
    """KL(p || q) + KL(q || p), each a sum over all label sequences."""
    logits, transitions = scores(scale, allowed)
    others, _ = scores(scale, allowed, seed=4)
    inputs = [logits, others, transitions]
    with tf.GradientTape(persistent=True) as tape:
        tape.watch(inputs)
        ours = divergence(logits, others, transitions, LENGTHS)
        expected = []
        for row, length in enumerate(LENGTHS):
            log_p, log_q = (
                tf.nn.log_softmax(sequences(each[row], transitions, length)[1])
                for each in (logits, others)
            )
            expected.append(tf.reduce_sum((tf.exp(log_p) - tf.exp(log_q)) * (log_p - log_q)))
        truth = tf.stack(expected)
        totals = tf.reduce_sum(ours), tf.reduce_sum(tf.cast(truth, tf.float32))
    np.testing.assert_allclose(ours, truth, rtol=1e-4, atol=1e-5)
    for values in inputs:
        gradients = [tape.gradient(total, values) for total in totals]
        np.testing.assert_allclose(*gradients, rtol=1e-3, atol=1e-4 * scale)


@pytest.mark.parametrize("allowed", [None, IOB2], ids=["free", "constrained"])
@pytest.mark.parametrize("scale", [1, 30])
def test_marginals_normalizer_and_best_sequences_are_those_of_the_enumeration(allowed, scale):
    logits, transitions = scores(scale, allowed, seed=2)
    probabilities, normalizers = marginals(logits, transitions, LENGTHS)
    best, best_scores = viterbi(logits, transitions, LENGTHS)
    several, several_scores = n_best(logits, transitions, LENGTHS, 5)
    for row, length in enumerate(LENGTHS):
        paths, found = sequences(logits[row], transitions, length)
        truth = np.zeros((STEPS, LABELS))
        for path, probability in zip(paths, tf.nn.softmax(found).numpy(), strict=True):
            for step, label in enumerate(path):
                truth[step, label] += probability
        np.testing.assert_allclose(probabilities[row], truth, atol=1e-5)
        np.testing.assert_allclose(normalizers[row], tf.reduce_logsumexp(found), rtol=1e-5)
        ranked = [index for index in np.argsort(-found.numpy()) if found[index] > FORBIDDEN / 2]
        assert tuple(best[row, :length].numpy()) == paths[ranked[0]]
        np.testing.assert_allclose(best_scores[row], found[ranked[0]], rtol=1e-5)
        for rank in range(5):
            if rank >= len(ranked):
                assert several_scores[row, rank] == -np.inf
                continue
            assert tuple(several[row, rank, :length].numpy()) == paths[ranked[rank]]
            np.testing.assert_allclose(several_scores[row, rank], found[ranked[rank]], rtol=1e-5)
        assert not best[row, length:].numpy().any()
        assert not several[row, :, length:].numpy().any()


@pytest.mark.compiled
@pytest.mark.parametrize("allowed", [None, IOB2], ids=["free", "constrained"])
@pytest.mark.parametrize("scale", [1, 30])
def test_the_kernel_finds_what_the_loops_find(allowed, scale):
    given = *scores(scale, allowed, seed=4), tf.constant(LENGTHS, tf.int32)
    expected = most_probable(*given)
    with inference_kernels():
        found = most_probable(*given)
    np.testing.assert_array_equal(found[0], expected[0])
    np.testing.assert_allclose(found[1], expected[1], rtol=1e-5, atol=1e-5 * scale)
    np.testing.assert_allclose(found[2], expected[2], atol=1e-6)


@pytest.mark.compiled
def test_the_kernel_on_many_labels_long_rows_and_ties():
    random = np.random.default_rng(5)
    logits = tf.constant(random.integers(-40, 40, (3, 200, 37)), tf.float32)
    transitions = tf.constant(random.integers(-2, 3, (38, 38)), tf.float32)
    lengths = tf.constant([200, 150, 0], tf.int32)
    expected = most_probable(logits, transitions, lengths)
    with inference_kernels():
        found = most_probable(logits, transitions, lengths)
        empty = most_probable(logits[:, :0], transitions, tf.zeros(3, tf.int32))
    np.testing.assert_array_equal(found[0], expected[0])
    np.testing.assert_allclose(found[1], expected[1], rtol=1e-5, atol=1e-3)
    np.testing.assert_allclose(found[2], expected[2], atol=1e-6)
    assert empty[0].shape == empty[2].shape == (3, 0)
    assert empty[1].numpy().tolist() == [0, 0, 0]


def test_padding_changes_nothing():
    logits, transitions = scores(3)
    labels = gold(None)
    padded = tf.pad(logits, [[0, 0], [0, 3], [0, 0]], constant_values=99.0)
    more_labels = np.pad(labels, ((0, 0), (0, 3)), constant_values=1)
    np.testing.assert_allclose(
        negative_log_likelihood(padded, transitions, more_labels, LENGTHS),
        negative_log_likelihood(logits, transitions, labels, LENGTHS),
        rtol=1e-6,
    )
    for search in (viterbi, lambda *scores: n_best(*scores, 2)):
        for one, other in zip(
            search(padded, transitions, LENGTHS), search(logits, transitions, LENGTHS), strict=True
        ):
            np.testing.assert_allclose(other, one[..., :STEPS] if one.shape[-1] == 7 else one)


def test_long_rows_neither_overflow_nor_vanish():
    """What a long row costs is what its halves cost, where transitions say nothing."""
    random = np.random.default_rng(3)
    logits = tf.constant(50 * random.normal(size=(1, 300, 4)), tf.float32)
    lengths = np.array([300])
    labels = random.integers(0, 4, (1, 300))
    zeros = tf.zeros((5, 5))
    plain = tf.nn.sparse_softmax_cross_entropy_with_logits(labels, logits)
    loss = negative_log_likelihood(logits, zeros, labels, lengths)
    np.testing.assert_allclose(loss, tf.reduce_sum(plain, axis=1), rtol=1e-5)
    np.testing.assert_allclose(
        marginals(logits, zeros, lengths)[0], tf.nn.softmax(logits), atol=1e-5
    )
    best, _ = viterbi(logits, zeros, lengths)
    np.testing.assert_array_equal(best, tf.argmax(logits, axis=-1))


def test_the_one_allowed_way_is_found_against_all_logits():
    """The label before must be one of e^-200: no sequence may be lost to underflow."""
    logits = tf.constant([[[200.0, 0, 0], [0, 0, 300.0], [0, 0, 300.0]]])
    transitions = tf.where(IOB2, 0.0, FORBIDDEN)
    labels, score = viterbi(logits, transitions, np.array([3]))
    assert labels.numpy().tolist() == [[1, 2, 2]]
    assert score.numpy() == [600]
    probabilities, _ = marginals(logits, transitions, np.array([3]))
    np.testing.assert_allclose(probabilities[0], np.eye(3)[[1, 2, 2]], atol=1e-6)
    loss = negative_log_likelihood(logits, transitions, labels, np.array([3]))
    np.testing.assert_allclose(loss, 0, atol=1e-4)


@pytest.mark.parametrize("steps", [0, 2])
def test_rows_without_steps(steps):
    lengths, transitions = np.zeros(2, np.int32), tf.ones((4, 4))
    logits, labels = tf.ones((2, steps, 3)), np.zeros((2, steps), np.int32)
    with tf.GradientTape() as tape:
        tape.watch([logits, transitions])
        loss = tf.reduce_sum(negative_log_likelihood(logits, transitions, labels, lengths))
    assert loss == 0
    for gradient in tape.gradient(loss, [logits, transitions]):
        assert not gradient.numpy().any()
    assert marginals(logits, transitions, lengths)[0].shape == (2, steps, 3)
    best, score = viterbi(logits, transitions, lengths)
    assert best.shape == (2, steps)
    assert score.numpy().tolist() == [0, 0]
    several, score = n_best(logits, transitions, lengths, 2)
    assert several.shape == (2, 2, steps)
    assert score.numpy().tolist() == [[0, -np.inf]] * 2


def test_it_learns_within_keras_in_one_graph_for_all_lengths():
    """Labels alternate whatever the input says: only transitions can tell."""
    inputs = keras.Input((None, 2))
    crf = CRF(2)
    model = keras.Model(inputs, crf(keras.layers.Dense(2)(inputs)))
    optimizer = keras.optimizers.Adam(0.1)
    optimizer.build(model.trainable_variables)

    @tf.function(input_signature=[tf.TensorSpec((None, None, 2)), tf.TensorSpec((None,), tf.int32)])
    def step(vectors, lengths):
        labels = tf.math.mod(tf.range(tf.shape(vectors)[1]), 2)
        labels = tf.repeat(labels[tf.newaxis], tf.shape(vectors)[0], axis=0)
        with tf.GradientTape() as tape:
            found = model(vectors, training=True)
            loss = tf.reduce_mean(negative_log_likelihood(**found, labels=labels, lengths=lengths))
        variables = model.trainable_variables
        optimizer.apply(tape.gradient(loss, variables), variables)
        return loss

    random = np.random.default_rng(0)
    for number in range(80):
        steps = 2 + number % 5
        loss = step(
            random.normal(size=(8, steps, 2)).astype(np.float32), np.full(8, steps, np.int32)
        )
    assert step.experimental_get_tracing_count() == 1
    assert loss < 0.1
    found = model(random.normal(size=(3, 6, 2)).astype(np.float32))
    best, _ = viterbi(**found, lengths=np.full(3, 6))
    assert best.numpy().tolist() == [[0, 1, 0, 1, 0, 1]] * 3


def test_the_layer_is_data_and_float32():
    layer = CRF(3, IOB2, dtype="mixed_bfloat16")
    found = layer(tf.ones((1, 2, 3), tf.bfloat16))
    assert {value.dtype for value in found.values()} == {tf.float32}
    assert layer.trainable_weights[0].dtype == "float32"
    np.testing.assert_array_equal(found["transitions"] == FORBIDDEN, ~np.array(IOB2))
    again = CRF.from_config(layer.get_config())
    assert again.get_config() == layer.get_config()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"labels": 0}, "labels: must be a whole number"),
        ({"labels": 2, "allowed": IOB2}, r"allowed: must be \(3, 3\)"),
        ({"labels": 1, "allowed": [[True, False], [True, True]]}, "none last"),
    ],
)
def test_impossible_arguments(arguments, message):
    with pytest.raises(ValueError, match=message):
        CRF(**arguments)
