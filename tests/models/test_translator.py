"""The three models share their layers, and states arrive where they should."""

import itertools

import keras
import numpy as np
import pytest
import tensorflow as tf

from seq2seq.layers.bridge import ConcatenateBridge, CopyBridge, DenseBridge, ZeroBridge
from seq2seq.models.decoder import Decoder
from seq2seq.models.encoder import Encoder
from seq2seq.models.translator import Translator
from seq2seq.training.losses import TokenCrossEntropy
from seq2seq.training.masked_loss_model import MaskedLossModel

SOURCE_VOCABULARY, TARGET_VOCABULARY = 23, 17


def make(bridge=DenseBridge, encoder=None, decoder=None, **options) -> Translator:
    keras.utils.set_random_seed(3)
    return Translator(
        options.pop("source_vocabulary_size", SOURCE_VOCABULARY),
        TARGET_VOCABULARY,
        Encoder(**(encoder or {"units": 6})),
        Decoder(**(decoder or {"units": 10})),
        bridge,
        embedding_dim=options.pop("embedding_dim", 8),
        **options,
    )


def batch(seed=0, rows=4, source_length=7, target_length=5):
    generator = np.random.default_rng(seed)
    lengths = generator.integers(1, source_length + 1, rows)
    lengths[0] = source_length
    source = generator.integers(4, SOURCE_VOCABULARY, (rows, source_length))
    source *= np.arange(source_length) < lengths[:, None]
    target = generator.integers(4, TARGET_VOCABULARY, (rows, target_length))
    return {
        "source": tf.constant(source, tf.int32),
        "source_length": tf.constant(lengths, tf.int32),
        "target": tf.constant(target, tf.int32),
    }


def without_target(inputs):
    return {name: inputs[name] for name in ("source", "source_length")}


def stepped_logits(model: Translator, inputs) -> np.ndarray:
    states = model.encoder_model(without_target(inputs))["states"]
    logits = []
    for step in range(inputs["target"].shape[1]):
        outputs = model.decoder_model(
            {"target": inputs["target"][:, step : step + 1], "states": states}
        )
        states = outputs["states"]
        logits.append(outputs["logits"])
    return tf.concat(logits, axis=1).numpy()


VARIANTS = [
    dict(encoder=dict(cell=cell, units=6, layers=layers, bidirectional=both), decoder=decoder)
    for cell, layers, both, decoder in itertools.product(
        ("lstm", "gru"),
        (1, 2),
        (False, True),
        (dict(cell="lstm", units=10), dict(cell="gru", units=10, layers=3)),
    )
]


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("embeddings", ["separate", "tied"])
def test_stepping_over_the_gold_prefix_gives_the_training_logits(variant, embeddings):
    model = make(**variant, embeddings=embeddings, reverse_source=embeddings == "tied")
    inputs = batch()
    np.testing.assert_allclose(
        stepped_logits(model, inputs), model.training_model(inputs).numpy(), atol=1e-5
    )


@pytest.mark.parametrize("reverse", [False, True])
def test_a_row_alone_and_in_a_padded_batch_give_the_same(reverse):
    model = make(encoder={"units": 6, "layers": 2}, reverse_source=reverse)
    inputs = batch()
    together = model.training_model(inputs).numpy()
    for row in range(4):
        length = int(inputs["source_length"][row])
        alone = {
            "source": inputs["source"][row : row + 1, :length],
            "source_length": inputs["source_length"][row : row + 1],
            "target": inputs["target"][row : row + 1],
        }
        np.testing.assert_allclose(model.training_model(alone).numpy()[0], together[row], atol=1e-6)


def test_reversing_reads_real_tokens_from_their_end():
    inputs = batch()
    plain, reversing = make(), make(reverse_source=True)
    reversing.training_model.set_weights(plain.training_model.get_weights())
    turned = inputs["source"].numpy()
    for row, length in enumerate(inputs["source_length"].numpy()):
        turned[row, :length] = turned[row, :length][::-1]
    np.testing.assert_array_equal(
        reversing.training_model(inputs),
        plain.training_model({**inputs, "source": tf.constant(turned)}),
    )


def test_one_training_step_changes_all_three_models_together():
    model = make()
    inputs = batch()
    before = [
        model.training_model(inputs).numpy(),
        model.encoder_model(without_target(inputs))["outputs"].numpy(),
        stepped_logits(model, inputs),
    ]
    trained = MaskedLossModel(
        model.training_model.input, model.training_model.output, TokenCrossEntropy()
    )
    trained.compile(keras.optimizers.Adam(0.01))
    labels = tf.constant(np.random.default_rng(1).integers(4, TARGET_VOCABULARY, (4, 5)))
    trained.train_on_batch(inputs, labels, tf.ones((4, 5)))
    after = [
        model.training_model(inputs).numpy(),
        model.encoder_model(without_target(inputs))["outputs"].numpy(),
        stepped_logits(model, inputs),
    ]
    for old, new in zip(before, after, strict=True):
        assert np.abs(old - new).max() > 1e-3
    np.testing.assert_allclose(after[0], after[2], atol=1e-5)
    for part in (model.encoder_model, model.decoder_model):
        names = {id(variable) for variable in model.training_model.variables}
        assert all(id(variable) in names for variable in part.trainable_variables)


@pytest.mark.parametrize("cell", ["lstm", "gru"])
def test_encoder_states_equal_stock_keras_layer_by_layer(cell):
    """Every layer's and direction's h and c, by name, against stacked stock Keras layers."""
    encoder = Encoder(cell=cell, units=5, layers=2)
    inputs = np.random.default_rng(0).normal(size=(3, 6, 4)).astype("float32")
    lengths = np.array([6, 2, 4])
    outputs, states = encoder(tf.constant(inputs), tf.constant(lengths))
    stock = {"lstm": keras.layers.LSTM, "gru": keras.layers.GRU}[cell]
    fields = {"lstm": ("h", "c"), "gru": ("h",)}[cell]
    for row, length in enumerate(lengths):  # row by row and unpadded: no masks involved
        sequence = tf.constant(inputs[row : row + 1, :length])
        for layer in range(2):
            ends = []
            for direction, stack in (
                ("forward", encoder.forward_stack),
                ("backward", encoder.backward_stack),
            ):
                reference = stock(
                    5,
                    return_sequences=True,
                    return_state=True,
                    go_backwards=direction == "backward",
                )
                reference.build(sequence.shape)
                reference.set_weights(stack[layer].get_weights())
                returned, *final = reference(sequence)
                for field, state in zip(fields, final, strict=True):
                    ours = states[layer][direction][field][row]
                    np.testing.assert_allclose(ours, state[0], atol=1e-5)
                ends.append(returned if direction == "forward" else returned[:, ::-1])
            sequence = tf.concat(ends, axis=-1)
        np.testing.assert_allclose(outputs[row, :length], sequence[0], atol=1e-5)


def test_copy_and_concatenate_bridges_hand_on_each_state_unchanged():
    inputs = batch()
    for both, bridge, units in ((False, CopyBridge, 6), (True, ConcatenateBridge, 12)):
        model = make(
            bridge,
            encoder=dict(units=6, layers=2, bidirectional=both),
            decoder=dict(units=units, layers=2),
        )
        embedded = model.source_embedding(inputs["source"])  # its scale is 1 here
        _, given = model.encoder(embedded, inputs["source_length"])
        received = model.encoder_model(without_target(inputs))["states"]
        for layer, field in itertools.product(range(2), ("h", "c")):
            parts = [given[layer][direction][field] for direction in given[layer]]
            np.testing.assert_array_equal(
                received[layer][field], np.concatenate([p.numpy() for p in parts], axis=-1)
            )


def test_zero_bridge_forgets_the_source():
    states = make(ZeroBridge).encoder_model(without_target(batch()))["states"]
    assert all((state.numpy() == 0).all() for state in states[0].values())


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (dict(bridge=CopyBridge), "CopyBridge needs one direction"),
        (
            dict(bridge=CopyBridge, encoder=dict(units=6, bidirectional=False)),
            "the decoder takes 1 layer",
        ),
        (dict(bridge=ConcatenateBridge), "a decoder twice as wide"),
        (
            dict(bridge=ConcatenateBridge, decoder=dict(units=12, cell="gru")),
            "the same cell",
        ),
        (dict(encoder=dict(units=0)), "units: must be a whole number of at least 1, got 0"),
        (dict(encoder=dict(cell="lsmt")), "nearest is 'lstm'"),
        (dict(encoder=dict(dropout=1.0)), "dropout: must be at least 0 and below 1"),
        (dict(embeddings="shared"), "tokenizer.joint=true"),
        (dict(embeddings="bound"), "separate, tied or shared"),
    ],
)
def test_what_does_not_fit_is_refused_with_a_reason(options, message):
    with pytest.raises(ValueError, match=message) as refused:
        make(**options)
    assert "Could not automatically infer" not in str(refused.value)  # Keras around our words


def test_shared_embeddings_are_one_matrix():
    shared = make(embeddings="shared", source_vocabulary_size=TARGET_VOCABULARY)
    shapes = [tuple(weight.shape) for weight in shared.training_model.weights]
    assert shapes.count((TARGET_VOCABULARY, 8)) == 1
    assert shared.projection is not None  # 10 units onto embeddings of 8
    assert make(embeddings="tied", embedding_dim=10).projection is None


@pytest.mark.parametrize("policy", ["float32", "mixed_bfloat16"])
def test_weights_survive_saving(tmp_path, policy):
    keras.config.set_dtype_policy(policy)
    try:
        first, second = make(reverse_source=True), make()
        first.training_model.save_weights(tmp_path / "model.weights.h5")
        for weight in second.training_model.weights:
            weight.assign(keras.ops.zeros_like(weight))
        second.training_model.load_weights(tmp_path / "model.weights.h5")
    finally:
        keras.config.set_dtype_policy("float32")
    for one, other in zip(first.training_model.weights, second.training_model.weights, strict=True):
        np.testing.assert_array_equal(one, other)


def test_word_dropout_hides_source_and_target_in_training_only():
    plain, hiding = make(), make(word_dropout=0.9999)
    variables = (model.training_model.trainable_variables for model in (hiding, plain))
    for ours, other in zip(*variables, strict=True):
        ours.assign(other)
    inputs = batch()
    unknown = {**inputs, **{name: tf.ones_like(inputs[name]) for name in ("source", "target")}}
    seen, hidden = plain.training_model(inputs), plain.training_model(unknown)
    np.testing.assert_allclose(hiding.training_model(inputs), seen, atol=1e-6)
    np.testing.assert_allclose(hiding.training_model(inputs, training=True), hidden, atol=1e-6)
