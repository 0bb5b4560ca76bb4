"""A translator that attends: its models agree with each other, whatever the padding."""

from functools import cache, partial

import keras
import numpy as np
import pytest
import tensorflow as tf

from seq2seq.layers.attention import BahdanauAttention, LocationAwareAttention, LuongAttention
from seq2seq.layers.bridge import DenseBridge
from seq2seq.layers.multi_head_attention import MultiHeadAttention
from seq2seq.models.decoder import Decoder
from seq2seq.models.encoder import Encoder
from seq2seq.models.translator import Translator
from seq2seq.tasks.model_folder import precision
from seq2seq.training.losses import TokenCrossEntropy

VOCABULARY = 17

VARIANTS = {
    "general": dict(attention=LuongAttention),
    "dot": dict(attention=partial(LuongAttention, score="dot"), units=12),
    "concat": dict(attention=partial(LuongAttention, score="concat")),
    "local": dict(attention=partial(LuongAttention, window=2)),
    "layers": dict(attention=LuongAttention, layers=2, cell="gru"),
    "fed": dict(attention=LuongAttention, layers=2, input_feeding=True),
    "first": dict(attention=LuongAttention, layers=3, attention_layer="first"),
    "first and fed": dict(
        attention=LuongAttention, layers=2, attention_layer="first", input_feeding=True
    ),
    "bahdanau": dict(attention=partial(BahdanauAttention, units=5, normalize=True)),
    "coverage": dict(attention=partial(BahdanauAttention, coverage=True)),
    "location": dict(attention=partial(LocationAwareAttention, filters=3, width=3)),
    "coverage and fed": dict(
        attention=partial(BahdanauAttention, coverage=True, window=3), input_feeding=True
    ),
    "heads": dict(attention=partial(MultiHeadAttention, heads=2)),
    "heads, first and fed": dict(
        attention=partial(MultiHeadAttention, heads=2),
        layers=2,
        attention_layer="first",
        input_feeding=True,
    ),
    "copy": dict(attention=LuongAttention, copy=True),
    "copy in a window": dict(attention=partial(LuongAttention, window=1), copy=True),
}

variants = pytest.mark.parametrize("variant", VARIANTS)


@cache
def shared(variant, **options) -> Translator:
    """Returns a model for tests that leave it as it is."""
    return make(variant, **options)


def make(variant, policy="float32", **options) -> Translator:
    keras.utils.set_random_seed(3)
    decoder = {"units": 10, **VARIANTS[variant]}
    options["copy"] = decoder.pop("copy", False)
    with precision(policy):
        return Translator(
            VOCABULARY, VOCABULARY, Encoder(units=6), Decoder(**decoder), DenseBridge, 8, **options
        )


def batch(seed=0, rows=4, source_length=7, target_length=5):
    generator = np.random.default_rng(seed)
    lengths = generator.integers(1, source_length + 1, rows)
    lengths[0] = source_length
    source = generator.integers(4, VOCABULARY, (rows, source_length))
    source *= np.arange(source_length) < lengths[:, None]
    target = generator.integers(4, VOCABULARY, (rows, target_length))
    return {
        "source": tf.constant(source, tf.int32),
        "source_length": tf.constant(lengths, tf.int32),
        "target": tf.constant(target, tf.int32),
    }


def stepped(model, inputs):
    """Returns logits and alignments of single steps over the gold target."""
    start = model.encoder_model({name: inputs[name] for name in ("source", "source_length")})
    states, logits, alignments = start["states"], [], []
    for step in range(inputs["target"].shape[1]):
        token = inputs["target"][:, step : step + 1]
        outputs = model.decoder_model(
            {"target": token, "states": states, "memory": start["memory"]}
        )
        states = outputs["states"]
        logits.append(outputs["logits"])
        alignments.append(outputs["alignments"])
    return tf.concat(logits, axis=1), tf.concat(alignments, axis=1)


@variants
def test_steps_and_rows_alone_are_what_is_trained(variant):
    """Step by step, and without padding: the same logits and alignments."""
    model, inputs = shared(variant, reverse_source=True), batch()
    logits, alignments = model.training_model(inputs), model.alignment_model(inputs)
    step_logits, step_alignments = stepped(model, inputs)
    np.testing.assert_allclose(step_logits, logits, atol=1e-5)
    np.testing.assert_allclose(step_alignments, alignments, atol=1e-6)
    for row, length in enumerate(inputs["source_length"]):
        alone = {name: tensor[row : row + 1] for name, tensor in inputs.items()}
        alone["source"] = alone["source"][:, :length]
        np.testing.assert_allclose(model.training_model(alone)[0], logits[row], atol=1e-5)
        aligned = model.alignment_model(alone)[0]
        np.testing.assert_allclose(aligned, alignments[row, :, :length], atol=1e-6)
        assert not alignments[row, :, length:].numpy().any()


@variants
def test_hypotheses_of_one_source_share_its_memory(variant):
    """As a beam steps: `width` rows a source, and one memory."""
    model, inputs = shared(variant, reverse_source=True), batch()
    start = model.encoder_model({name: inputs[name] for name in ("source", "source_length")})
    repeated = tf.nest.map_structure(lambda tensor: tf.repeat(tensor, 3, axis=0), start)
    token = tf.random.uniform((12, 1), 0, VOCABULARY, tf.int32)
    step = {"target": token, "states": repeated["states"]}
    results = [
        model.decoder_model({**step, "memory": nest["memory"]}) for nest in (start, repeated)
    ]
    tf.nest.map_structure(partial(np.testing.assert_allclose, atol=1e-6), *results)


def test_reversing_the_source_turns_no_alignment():
    model, turning, inputs = make("general"), make("general", reverse_source=True), batch()
    turning.training_model.set_weights(model.training_model.get_weights())
    lengths = inputs["source_length"]
    turned = {**inputs, "source": tf.reverse_sequence(inputs["source"], lengths, seq_axis=1)}
    aligned = tf.transpose(model.alignment_model(turned), (0, 2, 1))
    expected = tf.transpose(tf.reverse_sequence(aligned, lengths, seq_axis=1), (0, 2, 1))
    np.testing.assert_allclose(turning.alignment_model(inputs), expected, atol=1e-6)


@pytest.mark.parametrize("variant", ["coverage and fed", "heads, first and fed"])
@pytest.mark.parametrize("policy", ["float32", "mixed_bfloat16"])
def test_weights_survive_saving(variant, policy, tmp_path):
    first, second = make(variant, policy), make(variant, policy)
    first.training_model.save_weights(tmp_path / "model.weights.h5")
    for weight in second.training_model.weights:
        weight.assign(keras.ops.zeros_like(weight))
    second.training_model.load_weights(tmp_path / "model.weights.h5")
    for one, other in zip(first.training_model.weights, second.training_model.weights, strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("variant", ["copy", "copy in a window"])
def test_copying_mixes_one_distribution_for_logits_and_loss(variant):
    model, inputs = shared(variant, reverse_source=True), batch()
    logits = model.training_model(inputs)
    np.testing.assert_allclose(np.exp(logits).sum(axis=-1), 1.0, atol=1e-5)
    labels = np.random.default_rng(1).integers(0, VOCABULARY, (4, 5))
    labels[:, 1] = inputs["source"][:, 0]  # is in the source
    terms, weights = model.loss_model(inputs), tf.ones((4, 5))
    losses = TokenCrossEntropy()(tf.constant(labels), terms, weights)
    expected = TokenCrossEntropy()(tf.constant(labels), logits, weights)
    np.testing.assert_allclose(losses.objective, expected.objective, atol=1e-5)


def test_coverage_loss_is_part_of_the_objective_alone():
    plain, covering, inputs = make("general"), make("general", coverage_loss=0.5), batch()
    covering.training_model.set_weights(plain.training_model.get_weights())
    labels, weights = tf.zeros((4, 5), tf.int32), tf.ones((4, 5))
    expected = TokenCrossEntropy(0.1)(labels, plain.loss_model(inputs), weights)
    losses = TokenCrossEntropy(0.1)(labels, covering.loss_model(inputs), weights)
    alignments = plain.alignment_model(inputs).numpy()
    before = np.cumsum(alignments, axis=1) - alignments
    penalty = 0.5 * np.minimum(alignments, before).sum(axis=-1)
    np.testing.assert_allclose(losses.objective, expected.objective + penalty, atol=1e-5)
    np.testing.assert_array_equal(losses.reported, expected.reported)


def test_mixed_precision_steps_are_what_is_trained():
    model, inputs = make("coverage and fed", "mixed_bfloat16"), batch()
    assert model.alignment_model(inputs).dtype == tf.float32
    for one, other in zip(
        stepped(model, inputs),
        (model.training_model(inputs), model.alignment_model(inputs)),
        strict=True,
    ):
        np.testing.assert_allclose(tf.cast(one, tf.float32), tf.cast(other, tf.float32), atol=0.02)


def test_dropout_within_the_compiled_loop():
    """It is drawn anew at each step, and not at all in inference."""
    keras.utils.set_random_seed(3)
    decoder = Decoder(units=10, dropout=0.5, attention=LuongAttention, input_feeding=True)
    read, zeros = tf.random.normal((2, 4, 6)), tf.zeros((2, 10))

    @tf.function
    def decode(training):
        memory = decoder.attention.prepare(read, tf.constant([4, 3]))
        start = decoder.start([{"h": zeros, "c": zeros}], memory)
        return decoder(tf.ones((2, 6, 8)), start, memory, training=training)["outputs"]

    np.testing.assert_array_equal(decode(False), decode(False))
    assert np.abs(decode(True) - decode(True)).max() > 1e-3
    with tf.GradientTape() as tape:
        loss = tf.reduce_sum(decode(True))
    for gradient in tape.gradient(loss, decoder.trainable_variables):
        assert np.isfinite(tf.convert_to_tensor(gradient)).all()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (dict(input_feeding=True), "input_feeding: needs an attention"),
        (dict(attention_layer="first", layers=2), "attention_layer: needs an attention"),
        (dict(attention_layer="first", attention=LuongAttention), "it needs 2 layers or more"),
        (dict(attention_layer="last", attention=LuongAttention), "must be top or first"),
    ],
)
def test_what_does_not_fit_is_refused_with_a_reason(options, message):
    with pytest.raises(ValueError, match=message):
        Decoder(units=10, **options)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (dict(copy=True), "copy: needs an attention"),
        (dict(coverage_loss=1.0), "coverage_loss: needs an attention"),
        (dict(coverage_loss=-1.0, attention=LuongAttention), "coverage_loss: must be at least 0"),
        (dict(copy=True, attention=LuongAttention), "copy: needs one vocabulary .* 9 and 17 ids"),
    ],
)
def test_uses_of_attention_that_do_not_fit_are_refused_with_a_reason(options, message):
    decoder = Decoder(units=10, attention=options.pop("attention", None))
    with pytest.raises(ValueError, match=message):
        Translator(9, VOCABULARY, Encoder(units=6), decoder, DenseBridge, **options)
