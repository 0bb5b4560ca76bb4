"""Whole models are saved, loaded and exported as Keras models; what comes back says the same."""

import subprocess
import sys
import textwrap
from contextlib import suppress
from functools import partial

import keras
import numpy as np
import pytest
import tensorflow as tf

from seq2seq.layers.attention import BahdanauAttention, LocationAwareAttention, LuongAttention
from seq2seq.layers.bridge import ConcatenateBridge, CopyBridge, DenseBridge, ZeroBridge
from seq2seq.layers.character_features import CharacterCNN, CharacterLSTM
from seq2seq.layers.multi_head_attention import MultiHeadAttention
from seq2seq.models.classifier import Classifier, Combine
from seq2seq.models.decoder import Decoder
from seq2seq.models.encoder import Encoder
from seq2seq.models.language_model import LanguageModel
from seq2seq.models.stack import RecurrentStack
from seq2seq.models.tagger import Tagger
from seq2seq.models.translator import Translator
from seq2seq.training.optimizers import Adam, AdamW

ROWS, STEPS, IDS = 2, 5, 9
ALLOWED = [[True] * 3 + [False]] + [[True] * 4] * 3
WORDS = {"words": IDS, "characters": 0, "columns": {}, "vectors": None}
SPELLED = {"words": IDS, "characters": IDS, "columns": {"pos": 5}, "vectors": (7, 3)}


def translator(bridge=DenseBridge, encoder=None, layers=1, **options):
    embeddings = {name: options.pop(name) for name in list(options) if name in TRANSLATOR}
    return Translator(
        IDS,
        IDS,
        Encoder(**(encoder or {"units": 4, "layers": layers})),
        Decoder(units=8, layers=layers, **options),
        bridge,
        embedding_dim=6,
        **embeddings,
    )


TRANSLATOR = ("embeddings", "reverse_source", "word_dropout", "copy", "coverage_loss")
BAHDANAU = partial(BahdanauAttention, coverage=True, normalize=True, window=2)

MODELS = {
    "copy bridge": lambda: translator(
        CopyBridge, {"units": 8, "layers": 2, "bidirectional": False}, layers=2
    ),
    "concatenate bridge": lambda: translator(ConcatenateBridge, layers=2),
    "dense bridge, gru": lambda: translator(encoder={"cell": "gru", "units": 3}),
    "zero bridge": lambda: translator(ZeroBridge, attention=LuongAttention),
    "luong, fed, tied, reversed": lambda: translator(
        attention=LuongAttention,
        layers=2,
        input_feeding=True,
        embeddings="tied",
        reverse_source=True,
        word_dropout=0.1,
    ),
    "dot, gru decoder": lambda: translator(
        layers=1, cell="gru", attention=partial(LuongAttention, score="dot")
    ),
    "window, shared, copy": lambda: translator(
        attention=partial(LuongAttention, window=2), embeddings="shared", copy=True
    ),
    "bahdanau, first, copy": lambda: translator(
        attention=BAHDANAU, layers=2, attention_layer="first", copy=True, coverage_loss=0.1
    ),
    "location, first, fed": lambda: translator(
        attention=LocationAwareAttention, layers=2, attention_layer="first", input_feeding=True
    ),
    "heads": lambda: translator(attention=partial(MultiHeadAttention, heads=2)),
    "tagger": lambda: Tagger(WORDS, 3, Encoder(units=4, bidirectional=False), output="softmax"),
    "tagger, constrained": lambda: Tagger(
        WORDS, 3, Encoder(units=4), allowed=ALLOWED, output="constrained_softmax"
    ),
    "tagger, crf, cnn": lambda: Tagger(
        SPELLED, 3, Encoder(units=4), ALLOWED, CharacterCNN, word_dropout=0.1, locked_dropout=0.1
    ),
    "tagger, lstm": lambda: Tagger(SPELLED, 3, Encoder(units=4), None, CharacterLSTM),
    "classifier, steps": lambda: Classifier(
        IDS, 3, Encoder(units=4, bidirectional=False), pooling=["last", "mean", "max"]
    ),
    "classifier, two texts": lambda: Classifier(
        IDS,
        3,
        Encoder(units=4),
        texts=2,
        numbers=2,
        pooling=["mean", "attention"],
        separate_encoders=True,
        combination=Combine("tanh", 5),
    ),
    "language model": lambda: LanguageModel(IDS, ROWS, RecurrentStack(units=5, layers=2), 4),
    "language model, tied": lambda: LanguageModel(
        IDS, ROWS, RecurrentStack("gru", 5, residual=True, feed_forward=4), 4, embeddings="tied"
    ),
}
FOR_TRAINING = ("loss_model", "feature_model")
"""Models that are parts of another one, which nobody exports."""

models = pytest.mark.parametrize("model", MODELS.values(), ids=MODELS)


def keras_models(model):
    found = {name: each for name, each in vars(model).items() if isinstance(each, keras.Model)}
    if "step_model" not in found:
        with suppress(ValueError):  # it reads its whole input before it predicts
            found["step_model"] = model.step_model
    generator = np.random.default_rng(1)
    for each in found.values():
        for weight in each.trainable_weights:
            weight.assign(generator.normal(scale=0.3, size=weight.shape))
    return found


def batch(model: keras.Model):
    """Makes up a batch: two rows, the second of them with padding."""
    generator = np.random.default_rng(2)

    def one(tensor):
        shape = [ROWS, *(STEPS if size is None else size for size in tensor.shape[1:])]
        if "length" in tensor.name:
            return np.array([STEPS, 2], "int32")
        if tensor.dtype == "bool":
            real = np.arange(STEPS) < np.array([[STEPS], [2]])
            return real if len(shape) > 1 else np.ones(ROWS, bool)
        if tensor.dtype == "int32":
            return generator.integers(0, ROWS if tensor.name == "spelling" else 5, shape, "int32")
        return generator.normal(size=shape).astype("float32")

    return keras.tree.map_structure(one, model.input)


def assert_same(found, expected):
    tf.nest.assert_same_structure(found, expected)
    for one, other in zip(tf.nest.flatten(found), tf.nest.flatten(expected), strict=True):
        np.testing.assert_allclose(one, other, atol=1e-6)


def by_name(outputs, *path) -> dict[str, tf.Tensor]:
    """Returns nested outputs by the names that exported files give them."""
    if not isinstance(outputs, dict | list):
        return {"_".join(path): outputs}
    parts = outputs.items() if isinstance(outputs, dict) else enumerate(outputs)
    named = {}
    for key, part in parts:
        named |= by_name(part, *path, "state" if key == "states" else str(key))
    return named


@models
def test_saved_loaded_and_exported(model, tmp_path):
    for name, each in keras_models(model()).items():
        inputs = batch(each)
        expected = each(inputs)
        each.save(tmp_path / f"{name}.keras")
        loaded = keras.models.load_model(tmp_path / f"{name}.keras")
        assert_same(loaded(inputs), expected)
        assert len(loaded.weights) == len(each.weights)  # what was shared is shared again
        if name in FOR_TRAINING:
            continue
        loaded.export(tmp_path / name, verbose=False)
        exported = tf.saved_model.load(tmp_path / name)
        served = exported.serve(inputs)
        assert_same(served, by_name(expected) if isinstance(expected, dict) else expected)


PLAIN_TENSORFLOW = """
    import sys
    import numpy as np
    import tensorflow as tf

    encode, decode = (
        tf.saved_model.load(f"{sys.argv[1]}/{name}").signatures["serving_default"]
        for name in ("encoder_model", "decoder_model")
    )
    given = np.load(f"{sys.argv[1]}/inputs.npz")
    carried = encode(source=given["source"], source_length=given["source_length"])
    del carried["outputs"]
    logits = []
    for step in range(given["target"].shape[1]):
        found = decode(target=given["target"][:, step : step + 1], **carried)
        logits.append(found["logits"])
        carried |= {name: found[name] for name in carried if name in found}
    np.save(f"{sys.argv[1]}/logits.npy", tf.concat(logits, axis=1))
    assert "seq2seq" not in sys.modules
"""


def test_exported_models_translate_in_plain_tensorflow(tmp_path):
    model = MODELS["bahdanau, first, copy"]()
    made = keras_models(model)
    for name in ("encoder_model", "decoder_model"):
        made[name].export(tmp_path / name, verbose=False)
    inputs = batch(model.training_model)
    np.savez(tmp_path / "inputs.npz", **inputs)
    command = [sys.executable, "-c", textwrap.dedent(PLAIN_TENSORFLOW), str(tmp_path)]
    ended = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, check=False)
    assert ended.returncode == 0, ended.stderr
    np.testing.assert_allclose(
        np.load(tmp_path / "logits.npy"), model.training_model(inputs), atol=1e-4
    )


def test_a_loaded_model_goes_on_learning(tmp_path):
    """The compiled optimizer, one of ours, comes back with its moments."""
    for optimizer in (Adam, AdamW):
        model = MODELS["classifier, steps"]().training_model
        loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
        model.compile(optimizer(0.01), loss)
        inputs, labels = batch(model), np.array([0, 2])
        model.train_on_batch(inputs, labels)
        model.save(tmp_path / "trained.keras")
        loaded = keras.models.load_model(tmp_path / "trained.keras")
        assert type(loaded.optimizer) is optimizer
        for each in (model, loaded):
            each.train_on_batch(inputs, labels)
        assert_same(loaded(inputs), model(inputs))
