"""An encoder that starts with another run's weights: of a translation, of a language model."""

import json
import math

import keras
import numpy as np
import pytest
from rich.console import Console

from seq2seq.config import build, composed
from seq2seq.data.formats.json_lines import TaggedJsonl
from seq2seq.data.formats.plain_text import PlainText
from seq2seq.data.formats.tables import Tsv
from seq2seq.data.tokenizers.vocabulary import UNKNOWN
from seq2seq.errors import UserError
from seq2seq.experiment import run
from seq2seq.run_folder import checkpoint_paths
from seq2seq.tasks.initial_encoder import InitialEncoder
from seq2seq.tasks.model_folder import build_task, load_model_folder, save_model_folder

SPLITS = ("train", "validation", "test")
LINES = ["good film\tpos", "bad film\tneg", "not so good\tneg", "so fine\tpos"]
CLASSIFIER = (
    "task=classification",
    "model=classifier",
    "tokenizer=text/word",
    "decoding=none",
    "tracking=none",
    "model.encoder.units=6",
    "model.embedding_dim=5",
)
TRANSLATOR = (
    "tokenizer=word",
    "model.encoder.units=6",
    "model.decoder.units=7",
    "model.embedding_dim=5",
)


@pytest.fixture(autouse=True)
def own_cache(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


def tsv(folder, fields):
    (folder / "all.tsv").write_text("".join(f"{line}\n" for line in LINES))
    columns = {field: number for number, field in enumerate(fields)}
    return Tsv(str(folder), dict.fromkeys(SPLITS, "all.tsv"), columns)


def made(data, overrides, seed):
    config = composed(["tracking=none", *overrides])
    task = build_task(config)
    task.prepare(data, seed=1)
    keras.utils.set_random_seed(seed)
    return config, task, build(config, "model", **task.model_arguments())


@pytest.fixture
def translation(tmp_path):
    """A model folder of a translation, and its model."""
    config, task, model = made(tsv(tmp_path, ("source", "target")), TRANSLATOR, seed=3)
    save_model_folder(tmp_path / "translation" / "model", task, model, config)
    return tmp_path / "translation", model


def weights(model):
    return {name: layer.get_weights() for name, layer in model.input_layers().items()}


def assert_same(one, other):
    assert one.keys() == other.keys()
    for name, values in one.items():
        for value, expected in zip(values, other[name], strict=True):
            np.testing.assert_array_equal(value, expected)


def test_a_translation_gives_its_encoder(tmp_path, translation):
    folder, source = translation
    _, task, model = made(tsv(tmp_path, ("text", "label")), CLASSIFIER, seed=4)
    assert InitialEncoder(str(folder)).give(task, model) == {}
    assert_same(weights(model), weights(source))
    assert set(weights(model)) == {"layer_0/forward", "layer_0/backward"}
    # All words but those of the translation's target side are known to both.
    batch = {"text": np.array([[4, 5, 6]]), "text_length": np.array([3])}
    states = model.feature_model(batch)
    same = {"source": batch["text"], "source_length": batch["text_length"]}
    for name, state in source.feature_model(same).items():
        np.testing.assert_array_equal(state, states[name.replace("source", "text")])


def test_a_language_model_gives_its_layers_and_its_scaled_embeddings(tmp_path):
    (tmp_path / "a.txt").write_text("good film\nso good indeed\n" * 20)
    data = PlainText(str(tmp_path), dict.fromkeys(SPLITS, "a.txt"))
    overrides = (
        "task=generation",
        "model=language_model",
        "batching=windows",
        "tokenizer=text/word",
        "decoding=sampling",
        "model.stack.units=6",
        "model.embedding_dim=5",
        "model.embeddings=tied",
    )
    config, task, source = made(data, overrides, seed=3)
    save_model_folder(tmp_path / "lm" / "model", task, source, config)
    one_way = (*CLASSIFIER, "model.encoder.bidirectional=false")
    _, mine, model = made(tsv(tmp_path, ("text", "label")), one_way, seed=4)
    before = np.array(model.embedding.embeddings)
    InitialEncoder(str(tmp_path / "lm")).give(mine, model)
    assert_same(weights(model), weights(source))
    theirs, ours = (each.tokenizer.encode(["good bad"])[0] for each in (task, mine))
    after = np.array(model.embedding.embeddings)
    scaled = np.array(source.embedding.embeddings)[theirs[0]] * math.sqrt(5)
    np.testing.assert_allclose(after[ours[0]], scaled, rtol=1e-6)
    np.testing.assert_array_equal(after[ours[1]], before[ours[1]])  # unknown to the other run


def test_a_translation_gives_a_tagger_its_words(tmp_path, translation):
    folder, source = translation
    sentence = {"tokens": ["good", "not", "odd"], "labels": ["A", "B", "A"]}
    (tmp_path / "tagged").write_text(json.dumps(sentence) + "\n")
    files = dict.fromkeys(SPLITS, "tagged")
    data = TaggedJsonl(str(tmp_path), files, {name: name for name in sentence})
    tagger = (
        *("task=tagging", "tokenizer=tokens", "model=tagger", "decoding=none"),
        *("tokenizer.characters=false", "model/character_features=none", "tokenizer.casing=false"),
        *("model.encoder.units=6", "model.embedding_dim=5"),
    )
    _, task, model = made(data, tagger, seed=4)
    before = np.array(model.embedding.embeddings)
    InitialEncoder(str(folder)).give(task, model)
    assert_same(weights(model), weights(source))
    after = np.array(model.embedding.embeddings)
    theirs = np.array(source.source_embedding.embeddings)
    good, no, odd = task.tokenizer.words.ids(sentence["tokens"])
    known = load_model_folder(folder)[0].tokenizer.source.encode(["good not unheard"])[0]
    np.testing.assert_array_equal(after[[good, no, UNKNOWN]], theirs[known[:3]])
    np.testing.assert_array_equal(after[odd], before[odd])


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("model.encoder.units=8", r"layer_0/forward is LSTM\(6\) on 5 inputs, but here it is LSTM"),
        ("model.encoder.cell=gru", r"LSTM\(6\) on 5 inputs, but here it is GRU\(6\)"),
        ("model.embedding_dim=4", r"on 5 inputs, but here it is LSTM\(6\) on 4 inputs"),
        ("model.encoder.layers=2", r"but the model wants layer_1/forward"),
    ],
)
def test_encoders_that_are_not_alike_are_refused(tmp_path, translation, override, message):
    _, task, model = made(tsv(tmp_path, ("text", "label")), (*CLASSIFIER, override), seed=4)
    with pytest.raises(UserError, match=message):
        InitialEncoder(str(translation[0])).give(task, model)


def test_impossible_settings(tmp_path):
    with pytest.raises(ValueError, match="freeze_epochs"):
        InitialEncoder(None, freeze_epochs=1)
    _, task, model = made(tsv(tmp_path, ("text", "label")), CLASSIFIER, seed=4)
    with pytest.raises(UserError, match="holds no trained model"):
        InitialEncoder(str(tmp_path)).give(task, model)


def test_a_frozen_encoder_is_trained_from_its_epoch_on(tmp_path, translation):
    folder, source = translation
    tsv(tmp_path, ("text", "label"))
    for epochs, changed in ((1, False), (2, True)):
        config = composed(
            [
                *CLASSIFIER,
                "data=labelled_tsv",
                f"data.directory={tmp_path}",
                *(f"data.files.{split}=all.tsv" for split in SPLITS),
                f"initial_encoder.run={folder}",
                "initial_encoder.freeze_epochs=1",
                f"trainer.epochs={epochs}",
            ]
        )
        place = tmp_path / f"run{epochs}"
        metrics = run(config, place, {}, Console(file=(tmp_path / "log").open("w")))
        assert 0 <= metrics["test"]["accuracy"] <= 1
        _, _, model = made(tsv(tmp_path, ("text", "label")), CLASSIFIER, seed=4)
        [last, *_] = checkpoint_paths(place / "checkpoints", "last")
        model.training_model.load_weights(last)
        first, theirs = "layer_0/forward", weights(source)
        equal = map(np.array_equal, weights(model)[first], theirs[first])
        assert (not all(equal)) is changed
    assert "from" in (tmp_path / "run1" / "train.log").read_text()
