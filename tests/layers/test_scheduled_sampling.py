"""Scheduled sampling, against a loop in numpy over steps of the decoder."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from seq2seq.config import build, composed
from seq2seq.errors import UserError
from seq2seq.layers.scheduled_sampling import (
    ExponentialSchedule,
    InverseSigmoidSchedule,
    LinearSchedule,
    Schedule,
    ScheduledSampling,
)
from seq2seq.tasks.model_folder import build_task, precision
from seq2seq.training.checkpoints import Progress, checkpoint_content, load_checkpoint
from seq2seq.training.losses import TokenCrossEntropy
from seq2seq.training.masked_loss_model import MaskedLossModel, compile_model
from seq2seq.training.weights_file import write_weights

LETTERS = "abcdefgh"
SMALL = ["tracking=none", "model.encoder.units=8", "model.decoder.units=16"]
STEPS = np.array([0, 1, 10, 500, 2000, 40_000], np.float32)


class Always(Schedule):
    """The same probability at all steps."""

    def __init__(self, probability):
        self.probability = probability

    def __call__(self, step):
        return tf.constant(self.probability, tf.float32)


@pytest.mark.parametrize(
    ("schedule", "expected"),
    [
        (LinearSchedule(1000, 0.2), np.maximum(0.2, 1 - 0.8 * STEPS / 1000)),
        (ExponentialSchedule(0.999), 0.999 ** STEPS.astype(np.float64)),
        (ExponentialSchedule(0.99, 0.5), np.maximum(0.5, 0.99 ** STEPS.astype(np.float64))),
        (InverseSigmoidSchedule(300), 300 / (300 + np.exp(STEPS.astype(np.float64) / 300))),
    ],
)
def test_schedules_are_those_of_the_paper(schedule, expected):
    np.testing.assert_allclose(schedule(tf.constant(STEPS)), expected, rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: LinearSchedule(0), "steps: must be"),
        (lambda: LinearSchedule(5, 1.0), "minimum: must be"),
        (lambda: ExponentialSchedule(1.0), "base: must be"),
        (lambda: InverseSigmoidSchedule(10, -0.1), "minimum: must be"),
    ],
)
def test_impossible_schedules_are_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def next_letter(inputs):
    """A decoder that is sure of the letter after the one it reads."""
    logits = 50 * tf.one_hot((inputs["target"] + 1) % len(LETTERS), len(LETTERS))
    return {"logits": logits, "states": inputs["states"]}


@pytest.mark.parametrize(("probability", "expected"), [(1.0, "aaaaa"), (0.0, "abcde")])
def test_the_decoder_reads_the_target_or_itself(probability, expected):
    layer = ScheduledSampling(Always(probability), next_letter)
    target = tf.zeros((3, 5), tf.int32)
    read = layer(target, [{"h": tf.zeros((3, 1))}], {}, training=True)
    assert ["".join(LETTERS[i] for i in row) for row in read.numpy()] == [expected] * 3
    np.testing.assert_array_equal(layer(target, [{"h": tf.zeros((3, 1))}], {}), target)
    assert layer.steps.numpy() == 1  # batches that are not trained on do not count


def test_the_share_of_replaced_tokens():
    layer = ScheduledSampling(
        Always(0.75), lambda inputs: next_letter({**inputs, "target": inputs["target"] * 0})
    )
    target = tf.fill((200, 101), 5)
    replaced = layer(target, [{"h": tf.zeros((200, 1))}], {}, training=True).numpy() == 1
    assert not replaced[:, 0].any()
    assert replaced[:, 1:].mean() == pytest.approx(0.25, abs=0.01)


def make(*overrides, probability=0.4):
    config = composed([*SMALL, *overrides])
    keras.utils.set_random_seed(5)
    sizes = {"source_vocabulary_size": 20, "target_vocabulary_size": 20}
    return build(config, "model", **sizes, scheduled_sampling=Always(probability))


def batch(rows=6, length=7):
    generator = np.random.default_rng(1)
    source = tf.constant(generator.integers(4, 20, (rows, 5)), tf.int32)
    target = tf.constant(generator.integers(4, 20, (rows, length)), tf.int32)
    return {"source": source, "source_length": tf.fill((rows,), 5), "target": target}


def expected_tokens(model, inputs, probability, noise):
    """The tokens that a decoder reads step by step, with the same random numbers."""
    encoded = model.encoder_model({n: inputs[n] for n in ("source", "source_length")})
    states = encoded["states"]
    memory = {"memory": encoded["memory"]} if "memory" in encoded else {}
    drawn, tokens = inputs["target"][:, 0].numpy(), []
    for step in range(inputs["target"].shape[1]):
        is_replaced = noise[0, :, step] >= probability
        tokens.append(np.where(is_replaced, drawn, inputs["target"][:, step]))
        token = tokens[-1][:, np.newaxis].astype(np.int32)
        outputs = model.decoder_model({"target": tf.constant(token), "states": states, **memory})
        states = outputs["states"]
        p = tf.nn.softmax(tf.cast(outputs["logits"], tf.float64))[:, 0].numpy()
        drawn = [
            np.searchsorted(np.cumsum(row), u, "right")
            for row, u in zip(p, noise[1, :, step], strict=True)
        ]
    return np.stack(tokens, axis=1)


@pytest.mark.parametrize(
    ("overrides", "policy"),
    [
        (["model/attention=luong"], "float32"),
        (["model/attention=none", "model.decoder.layers=2"], "float32"),
        (["model/attention=bahdanau", "model.decoder.input_feeding=true"], "float32"),
        (["model/attention=luong", "model.copy=true", "model.decoder.cell=gru"], "float32"),
        (["model/attention=luong"], "mixed_bfloat16"),
    ],
)  # fmt: skip
def test_the_compiled_loop_reads_what_a_loop_in_numpy_reads(overrides, policy):
    with precision(policy):
        model = make(*overrides)
    layer, inputs = model.loss_model.get_layer("scheduled_sampling"), batch()
    again = keras.random.SeedGenerator(0)
    again.state.assign(layer.seed_generator.state)
    noise = keras.random.uniform((2, 6, 7), seed=again).numpy()
    encoded = model.encoder_model({n: inputs[n] for n in ("source", "source_length")})
    run = tf.function(
        lambda: layer(inputs["target"], encoded["states"], encoded.get("memory", {}), training=True)
    )
    tokens = run().numpy()
    assert (tokens != inputs["target"].numpy()).mean() > 0.3
    np.testing.assert_array_equal(tokens, expected_tokens(model, inputs, 0.4, noise))


def test_gradients_are_those_of_the_tokens_that_were_read():
    model, inputs = make("model/attention=luong"), batch()
    weighted = MaskedLossModel(model.loss_model.input, model.loss_model.output, TokenCrossEntropy())
    weighted.compile("sgd", jit_compile=False)
    layer = model.loss_model.get_layer("scheduled_sampling")
    state = layer.seed_generator.state.numpy()
    encoded = model.encoder_model({n: inputs[n] for n in ("source", "source_length")})
    read = layer(inputs["target"], encoded["states"], encoded["memory"], training=True)
    layer.seed_generator.state.assign(state)
    labels, weights = inputs["target"], tf.ones((6, 7))
    step = tf.function(lambda training, data: weighted.gradients(data, training=training).gradients)
    sampled = step(True, (inputs, labels, weights))
    plain = step(False, ({**inputs, "target": read}, labels, weights))
    for one, other in zip(sampled, plain, strict=True):
        np.testing.assert_allclose(
            tf.convert_to_tensor(one), tf.convert_to_tensor(other), atol=1e-6
        )


def test_a_checkpoint_goes_on_with_the_same_tokens(tmp_path):
    def compiled():
        model = make("model/attention=luong")
        trained = compile_model(model.loss_model, TokenCrossEntropy(), keras.optimizers.SGD(0.5))
        return model, trained

    inputs = batch()
    data = tf.data.Dataset.from_tensors((inputs, inputs["target"], tf.ones((6, 7))))
    (_, trained), (other, resumed) = compiled(), compiled()
    trained.fit(data.repeat(3), verbose=0, shuffle=False)
    path = tmp_path / "last.weights.h5"
    write_weights(path, checkpoint_content(trained, [], Progress()))
    load_checkpoint(path, resumed, [])
    layer = other.loss_model.get_layer("scheduled_sampling")
    assert layer.steps.numpy() == 3
    for each in (trained, resumed):
        each.fit(data, verbose=0, shuffle=False)
    for one, two in zip(trained.trainable_variables, resumed.trainable_variables, strict=True):
        np.testing.assert_array_equal(one.numpy(), two.numpy())
    names = [weight.path for weight in other.training_model.weights]
    assert not [name for name in names if "scheduled_sampling" in name]


@pytest.mark.parametrize("choice", ["linear", "exponential", "inverse_sigmoid", "none"])
def test_choices(choice):
    config = composed([*SMALL, f"model/scheduled_sampling={choice}"])
    model = build(config, "model", source_vocabulary_size=20, target_vocabulary_size=20)
    layers = [layer.name for layer in model.loss_model.layers]
    assert ("scheduled_sampling" in layers) == (choice != "none")
    if choice == "none":
        return
    config.task.consistency = 5.0
    config.model.output_dropout = 0.1
    model = build(config, "model", source_vocabulary_size=20, target_vocabulary_size=20)
    with pytest.raises(UserError, match=r"task\.consistency: .*scheduled_sampling=none"):
        build_task(config).check_model(model)
