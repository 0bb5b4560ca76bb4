"""Training on two readings of each row: the loss is R-Drop's, written down in numpy."""

from contextlib import nullcontext

import keras
import numpy as np
import pytest
import tensorflow as tf

from seq2seq.config import build, composed
from seq2seq.errors import UserError
from seq2seq.layers.dense import LogitFactors
from seq2seq.tasks.model_folder import build_task
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
