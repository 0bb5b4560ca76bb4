"""Training on two readings of each row: the loss is R-Drop's, written down in numpy."""

import itertools
from contextlib import nullcontext

import keras
import numpy as np
import pytest
import tensorflow as tf
from scipy.stats import norm

from seq2seq.config import build, composed
from seq2seq.errors import UserError
from seq2seq.layers.dense import LogitFactors
from seq2seq.models.language_model import LanguageModel
from seq2seq.models.stack import RecurrentStack
from seq2seq.tasks.model_folder import build_task
from seq2seq.tasks.tagging.task import TaggingLoss
from seq2seq.training.distributions import Gaussian
from seq2seq.training.losses import TokenCrossEntropy
from seq2seq.training.masked_loss_model import MaskedLossModel

ROWS, STEPS, DIM, CLASSES = 3, 4, 5, 7


class HalvesApart(keras.layers.Layer):
    """Stands in for dropout: the second half of a training batch is read otherwise."""

    def call(self, inputs, training=False):
        if not training:
            return inputs
        first, second = tf.split(inputs, 2)
        return tf.concat([first, second * [1.5, 0.0, 1.0, 0.5, 1.0]], axis=0)


def model_of(loss):
    inputs = keras.Input((None, DIM))
    factors = LogitFactors(keras.layers.Dense(CLASSES, kernel_initializer="random_normal"))
    model = MaskedLossModel(inputs, factors(HalvesApart()(inputs)), loss)
    model.compile("sgd", jit_compile=False)
    return model


def batch():
    generator = np.random.default_rng(3)
    inputs = generator.normal(size=(ROWS, STEPS, DIM)).astype(np.float32)
    labels = generator.integers(0, CLASSES, (ROWS, STEPS)).astype(np.int32)
    weights = (np.arange(STEPS) < [[4], [2], [3]]).astype(np.float32)
    return inputs, labels, weights


def log_probabilities(model, inputs):
    kernel, bias = model.trainable_variables
    logits = inputs @ kernel.numpy() + bias.numpy()
    return logits - np.log(np.exp(logits).sum(-1, keepdims=True))


def test_the_objective_weighs_both_divergences():
    loss = TokenCrossEntropy(consistency=5.0)
    model, (inputs, labels, weights) = model_of(loss), batch()
    read_twice = [np.concatenate([each, each]) for each in (inputs, labels, weights)]
    outputs = model(tf.constant(read_twice[0]), training=True)
    found = loss(tf.constant(read_twice[1]), outputs, read_twice[2], doubled=True)
    objective = np.sum(found.objective * read_twice[2]) / read_twice[2].sum()

    p = log_probabilities(model, inputs)
    q = log_probabilities(model, inputs * [1.5, 0.0, 1.0, 0.5, 1.0])
    losses = [-np.take_along_axis(each, labels[..., None], -1)[..., 0] for each in (p, q)]
    apart = ((np.exp(p) - np.exp(q)) * (p - q)).sum(-1)  # KL(p || q) + KL(q || p)
    expected = (losses[0] + losses[1]) / 2 + 5.0 / 2 * apart / 2
    assert objective == pytest.approx((expected * weights).sum() / weights.sum(), rel=1e-5)


def test_a_step_learns_from_both_readings_and_evaluation_reads_once():
    step, apart = {}, {}
    data = batch()
    for consistency in (1e-6, 50.0):
        keras.utils.set_random_seed(1)
        model = model_of(TokenCrossEntropy(consistency=consistency))
        before = model.evaluate(tf.data.Dataset.from_tensors(data), verbose=0)[0]
        p = log_probabilities(model, data[0])
        nll = -np.take_along_axis(p, data[1][..., None], -1)[..., 0]
        assert before == pytest.approx((nll * data[2]).sum() / data[2].sum(), rel=1e-5)
        step[consistency] = model.train_on_batch(*data, return_dict=True)["loss"]
        q = log_probabilities(model, data[0] * [1.5, 0.0, 1.0, 0.5, 1.0])
        p = log_probabilities(model, data[0])
        apart[consistency] = (((np.exp(p) - np.exp(q)) * (p - q)).sum(-1) * data[2]).sum()
    assert step[1e-6] == step[50.0]  # what is reported is the cross-entropy alone
    assert apart[50.0] < apart[1e-6]


@pytest.mark.parametrize("name", ["consistency", "unlikelihood"])
def test_an_impossible_weight_is_refused(name):
    with pytest.raises(ValueError, match=f"{name}: must be at least 0, got -1"):
        TokenCrossEntropy(**{name: -1})


@pytest.mark.parametrize(
    ("name", "overrides", "message"),
    [
        ("consistency", [], "is no dropout; set model.output_dropout"),
        *(
            (
                name,
                ["model.copy=true", "model/attention=luong", "model.output_dropout=0.1"],
                f"task.{name}: is not for model.copy=true",
            )
            for name in ("consistency", "unlikelihood")
        ),
        ("unlikelihood", [], None),
        ("consistency", ["model.output_dropout=0.1"], None),
        ("consistency", ["model.encoder.weight_dropout=0.1"], None),
        ("consistency", ["model.decoder.dropout=0.1"], None),
        ("consistency", ["model.word_dropout=0.1"], None),
    ],
)
def test_models_that_it_cannot_be_asked_of_are_refused(name, overrides, message):
    config = composed([f"task.{name}=5", "tokenizer=word", *overrides])
    task = build_task(config)
    model = build(config, "model", **task.example_arguments)
    with pytest.raises(UserError, match=message) if message else nullcontext():
        task.check_model(model)


@pytest.mark.parametrize("several", [False, True])
def test_classification_learns_from_both_readings(several):
    overrides = ["task=classification", "data=cldr_languages", "tokenizer=text/character",
                 "model=classifier", "decoding=none", "model.encoder.units=4",
                 f"task.multi_label={several}", "task.consistency=2"]  # fmt: skip
    config = composed(overrides)
    task = build_task(config)
    with pytest.raises(UserError, match="is no dropout"):
        task.check_model(build(config, "model", **task.example_arguments))
    config = composed([*overrides, "model.output_dropout=0.5"])
    model = build(config, "model", **task.example_arguments)
    task.check_model(model)
    weighted = MaskedLossModel(model.loss_model.input, model.loss_model.output, task.loss)
    weighted.compile("sgd", jit_compile=False)
    inputs = {"text": np.full((3, 4), 4, np.int32), "text_length": np.full(3, 4, np.int32)}
    labels = np.array([[1, 0], [0, 1], [1, 1]] if several else [0, 1, 1], np.int32)
    data = tf.nest.map_structure(tf.constant, (inputs, labels, np.ones(3, np.float32)))
    sizes = []
    loss = weighted.element_loss
    weighted.element_loss = lambda *arguments, **options: (
        sizes.append((len(arguments[0]), options)) or loss(*arguments, **options)
    )
    gradients = weighted.gradients(data, training=True).gradients
    assert sizes == [(6, {"doubled": True})]
    assert all(np.isfinite(tf.convert_to_tensor(gradient)).all() for gradient in gradients)


def enumerated(logits, transitions, length):
    """The log-probabilities of all label sequences of a row, in numpy."""
    paths = np.array(list(itertools.product(range(logits.shape[-1]), repeat=length)))
    edges = np.pad(paths, ((0, 0), (1, 1)), constant_values=logits.shape[-1])
    scores = logits[np.arange(length), paths].sum(-1)
    scores += transitions[edges[:, :-1], edges[:, 1:]].sum(-1)
    return paths, scores - np.log(np.exp(scores).sum())


@pytest.mark.parametrize("has_crf", [False, True])
def test_tagging_weighs_the_divergence_of_labels_or_of_all_sequences(has_crf):
    labels_count, lengths = 3, [4, 2, 3]
    generator = np.random.default_rng(5)
    logits = generator.normal(size=(2, ROWS, STEPS, labels_count))
    labels = generator.integers(0, labels_count, (ROWS, STEPS))
    weights = (np.arange(STEPS) < np.array(lengths)[:, None]).astype(np.float32)
    transitions = generator.normal(size=(labels_count + 1, labels_count + 1)) * has_crf
    outputs = {"logits": tf.constant(np.concatenate([*logits]), tf.float32)}
    if has_crf:
        outputs["transitions"] = tf.constant(transitions, tf.float32)
    twice = [np.concatenate([each, each]) for each in (labels, weights)]
    losses = TaggingLoss(consistency=3.0)(twice[0], outputs, twice[1], doubled=True)
    objective = np.sum(losses.objective * twice[1]) / twice[1].sum()
    nll = apart = 0.0
    for row, length in enumerate(lengths):
        (paths, log_p), (_, log_q) = (
            enumerated(each[row, :length], transitions, length) for each in logits
        )
        [place] = np.flatnonzero((paths == labels[row, :length]).all(-1))
        nll -= (log_p[place] + log_q[place]) / 2
        apart += ((np.exp(log_p) - np.exp(log_q)) * (log_p - log_q)).sum()
    # Without transitions, the divergence of independent labels is the sum of theirs.
    assert objective == pytest.approx((nll + 3.0 / 2 * apart / 2) / weights.sum(), rel=1e-4)
    reported = np.sum(losses.reported * twice[1]) / twice[1].sum()
    assert reported == pytest.approx(nll / weights.sum(), rel=1e-4)


FORECAST = ["task=forecasting", "data=co2", "tokenizer=none", "batching=series",
            "model=direct_forecaster", "decoding=none", "task.horizon=2", "task.context_length=4",
            "model.encoder.units=4", "task.consistency=1"]  # fmt: skip
TAGGING = ["task=tagging", "data=cldr_date_parts", "tokenizer=tokens", "model=tagger",
           "decoding=none", "model.encoder.units=4", "task.consistency=1"]  # fmt: skip


@pytest.mark.parametrize("output", ["softmax", "crf"])
def test_tagging_reads_each_sentence_twice_and_its_spellings_once(output):
    config = composed([*TAGGING, f"model.output={output}", "model.locked_dropout=0.5"])
    task = build_task(config)
    keras.utils.set_random_seed(1)
    model = build(config, "model", **task.example_arguments)
    task.check_model(model)
    weighted = MaskedLossModel(model.loss_model.input, model.loss_model.output, task.loss)
    weighted.compile("sgd", jit_compile=False)
    words = np.array([[2, 3, 4], [4, 2, 0]], np.int32)
    inputs = {"words": words, "length": np.array([3, 2], np.int32)}
    if "spelling" in model.inputs:
        inputs["spelling"] = np.array([[0, 1, 2], [2, 1, 0]], np.int32)
        inputs["characters"] = np.array([[1, 2], [3, 0], [4, 4]], np.int32)
        inputs["character_length"] = np.array([2, 1, 2], np.int32)
    inputs |= {name: words for name in model.inputs if name not in inputs}
    data = inputs, np.minimum(words, 2), (words > 0).astype(np.float32)
    data = tf.nest.map_structure(tf.constant, data)
    doubled, labels, _ = weighted._doubled(data)
    assert len(labels) == len(doubled["words"]) == 4
    assert len(doubled.get("characters", [0] * 3)) == 3
    outputs = weighted(doubled, training=False)["logits"]
    np.testing.assert_allclose(*np.split(outputs, 2), atol=1e-6)
    objective, gradients, *_ = weighted.gradients(data)
    assert np.isfinite(objective)
    assert all(np.isfinite(tf.convert_to_tensor(gradient)).all() for gradient in gradients)


@pytest.mark.parametrize(
    "overrides",
    [
        TAGGING,
        ["task=generation", "data=plain_text", "data.files.train=a", "tokenizer=text/character",
         "batching=windows", "model=language_model", "decoding=sampling",
         "model.stack.units=4", "task.consistency=1"],
        [*FORECAST, "task/distribution=gaussian"],
    ],
)  # fmt: skip
def test_other_tasks_need_dropout_too(overrides):
    config = composed(overrides)
    task = build_task(config)
    with pytest.raises(UserError, match=r"task.consistency: .* there is no dropout"):
        task.check_model(build(config, "model", **task.example_arguments))


@pytest.mark.parametrize("distribution", ["point", "quantiles", "student_t"])
def test_forecasts_without_a_known_divergence_are_refused(distribution):
    config = composed([*FORECAST, f"task/distribution={distribution}"])
    with pytest.raises(UserError, match=r"task.consistency: .* task/distribution=gaussian"):
        build_task(config)


def test_gaussian_forecasts_weigh_both_divergences():
    generator = np.random.default_rng(1)
    outputs = generator.normal(size=(2, ROWS, STEPS, 1, 2)).astype(np.float32)
    labels = generator.normal(size=(ROWS, STEPS, 1)).astype(np.float32)
    loss = Gaussian()
    loss.consistency = 3.0
    twice, both = np.concatenate([labels, labels]), np.concatenate([*outputs])
    losses = loss(twice, both, np.ones_like(twice), doubled=True)
    np.testing.assert_array_equal(losses.reported, loss(twice, both, twice).objective)
    mean, deviation = (part.numpy()[..., 0].astype(float) for part in loss._parameters(both))
    x = np.linspace(-30, 30, 60_001)
    for row, step in np.ndindex(ROWS, STEPS):
        log_p, log_q = (
            norm.logpdf(x, mean[at, step], deviation[at, step]) for at in (row, row + ROWS)
        )
        apart = np.trapezoid((np.exp(log_p) - np.exp(log_q)) * (log_p - log_q), x)
        added = (losses.objective - losses.reported)[:, step, 0]
        np.testing.assert_allclose(added[row], 3.0 / 4 * apart, rtol=1e-3, atol=1e-4)
        np.testing.assert_allclose(added[row], added[row + ROWS], rtol=1e-5)


def test_both_readings_of_a_window_start_from_the_state_that_the_first_left():
    keras.utils.set_random_seed(1)
    stack = RecurrentStack("lstm", units=4, dropout=0.5)
    model = LanguageModel(CLASSES, ROWS, stack, embedding_dim=3)
    loss = TokenCrossEntropy(consistency=1.0)
    trained = MaskedLossModel(model.loss_model.input, model.loss_model.output, loss)
    trained.compile("sgd", jit_compile=False)
    carried = model.carried_stack.carried
    start = [np.random.default_rng(n).normal(size=state.shape) for n, state in enumerate(carried)]
    for state, value in zip(carried, start, strict=True):
        state.assign(value)
    tokens = np.random.default_rng(7).integers(1, CLASSES, (ROWS, STEPS)).astype(np.int32)
    reset = np.array([True, False, False])
    features = []
    factors = trained.element_loss
    trained.element_loss = lambda labels, outputs, *rest, **options: (
        features.append(outputs["features"].numpy()) or factors(labels, outputs, *rest, **options)
    )
    inputs = {"tokens": tokens, "reset": reset}
    weights = np.ones_like(tokens, np.float32)
    trained.gradients(tf.nest.map_structure(tf.constant, (inputs, tokens, weights)))
    one, other = np.split(features[0], 2)
    assert not np.allclose(one, other)
    # h of the last layer after the window, as the first reading has it
    np.testing.assert_allclose(carried[0], one[:, -1], atol=1e-6)
    for reading in (one, other):  # a row that starts anew does so in both
        assert np.isfinite(reading).all()
    # without dropout, both readings are what one is
    plain = LanguageModel(CLASSES, ROWS, RecurrentStack("lstm", units=4), embedding_dim=3)
    plain.loss_model.set_weights(model.loss_model.get_weights())
    plain_states = plain.carried_stack.carried
    for state, value in zip(plain_states, start, strict=True):
        state.assign(value)
    single = plain.loss_model(inputs)["features"]
    ends = [state.numpy() for state in plain_states]
    for state, value in zip(plain_states, start, strict=True):
        state.assign(value)
    twice = plain.loss_model({"tokens": np.concatenate([tokens, tokens]), "reset": reset})
    np.testing.assert_allclose(twice["features"], np.concatenate([single, single]), atol=1e-6)
    np.testing.assert_allclose([state.numpy() for state in plain_states], ends, atol=1e-6)
