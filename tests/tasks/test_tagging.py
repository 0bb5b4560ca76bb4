"""The tagging task on small real data: batches, predictions, scores, saving, bad input."""

import functools
import itertools
import json
import logging

import keras
import numpy as np
import pytest
import tensorflow as tf

from seq2seq.config import build, composed
from seq2seq.data.formats.json_lines import TaggedJsonl
from seq2seq.data.labels.span_schemes import is_well_formed
from seq2seq.errors import UserError
from seq2seq.inference.predictor import Predictor
from seq2seq.tasks.model_folder import build_task, load_model_folder, save_model_folder
from seq2seq.tasks.prediction_options import PredictionOptions
from seq2seq.tasks.tagging.task import TaggingLoss

SMALL = [
    "task=tagging",
    "tokenizer=tokens",
    "model=tagger",
    "~decoding",
    "tracking=none",
    "model.encoder.units=6",
    "model.embedding_dim=8",
]
SENTENCES = [
    (["Ann", "Lee", "met", "Bob", "Roy", "in", "New", "York"], "B-P I-P O B-P I-P O B-L I-L"),
    (["Rome", "is", "old"], "B-L O O"),
    (["We", "met"], "O O"),
    (["Ann", "Rome"], "B-P B-L"),
]


@pytest.fixture(autouse=True)
def own_cache(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


def write(folder, sentences, name="train", **more):
    lines = [
        json.dumps({"tokens": tokens, "labels": labels.split(), **more})
        for tokens, labels in sentences
    ]
    (folder / name).write_text("".join(f"{line}\n" for line in lines))


def data_of(folder, sentences=SENTENCES, test=None):
    write(folder, sentences)
    write(folder, test or sentences, "test")
    files = {"train": "train", "validation": "train", "test": "test"}
    return TaggedJsonl(str(folder), files, {"tokens": "tokens", "labels": "labels"})


def prepared(data, *overrides):
    config = composed([*SMALL, *overrides])
    task = build_task(config)
    task.prepare(data, seed=1)
    keras.utils.set_random_seed(2)
    model = build(config, "model", **task.model_arguments())
    task.initialize(model)
    return config, task, model


@pytest.fixture(scope="module")
def tagger(tmp_path_factory):
    """Prepares a task on the sentences, once for all tests of an output."""
    folder = tmp_path_factory.mktemp("sentences")

    @functools.cache
    def make(output):
        with pytest.MonkeyPatch.context() as monkeypatch:
            monkeypatch.setenv("XDG_CACHE_HOME", str(folder / "cache"))
            overrides = ("task.scheme=IOB2", "batching.batch_size=3")
            _, task, model = prepared(data_of(folder), f"model.output={output}", *overrides)
        random = np.random.default_rng(0)  # logits that break IOB2 in most sentences
        for layer in model.prediction_model.layers:
            if layer.name in ("logits", "crf"):
                layer.set_weights([random.normal(size=w.shape) for w in layer.get_weights()])
        return task, model

    return make


def test_batches_hold_labels_and_weigh_real_tokens(tagger):
    task, _ = tagger("softmax")
    seen = []
    for inputs, labels, weights in task.batches("test"):
        assert set(inputs) == set(task.tokenizer.ranks)
        for row, length in enumerate(inputs["length"].numpy()):
            assert weights[row].numpy().tolist() == [1.0] * length + [0.0] * (
                weights.shape[1] - length
            )
            words = inputs["words"][row, :length].numpy()
            seen.append(
                (
                    [task.tokenizer.words.items[word - 2] for word in words],
                    task.labels.decode(labels[row, :length].numpy()),
                )
            )
    expected = [
        ([token.lower() for token in tokens], labels.split()) for tokens, labels in SENTENCES
    ]
    assert sorted(seen) == sorted(expected)
    assert task.count_targets(task.stores["train"], np.arange(4)) == 15


@pytest.mark.parametrize("output", ["softmax", "constrained_softmax", "crf"])
def test_predictions_come_in_order_and_do_not_depend_on_the_batch(tagger, output):
    task, model = tagger(output)
    inputs = [{"tokens": tokens} for tokens, _ in SENTENCES] * 3 + [{"tokens": []}]
    together, alone = (
        task.predict(model, inputs, PredictionOptions(batch_size=size)) for size in (64, 1)
    )
    for row, other, record in zip(together, alone, inputs, strict=True):
        assert row["tokens"] == record["tokens"]
        assert row["source"] == " ".join(record["tokens"])
        assert row["labels"] == other["labels"]
        assert row["prediction"] == " ".join(row["labels"])
        assert row["score"] == pytest.approx(other["score"], rel=1e-4)
        assert len(row["labels"]) == len(record["tokens"])
    assert together[-1]["labels"] == []
    assert {tuple(row) for row in together} == {tuple(together[0])}  # a table of all rows
    assert all(row["score"] < 0 for row in together[:-1])
    assert task._search_of(model, 1)._search.experimental_get_tracing_count() == 1


@pytest.mark.parametrize("output", ["softmax", "constrained_softmax", "crf"])
def test_scores_and_probabilities_against_all_label_sequences(tagger, output):
    task, model = tagger(output)
    tokens = ["Ann", "Rome", "zzz"]
    row = task.predict(model, [{"tokens": tokens}], PredictionOptions(n_best=4))[0]
    ((_, inputs),) = task._batches(task._search_of(model, 4), [{"tokens": tokens}], 1)
    found = model.prediction_model(tf.nest.map_structure(tf.convert_to_tensor, inputs))
    logits, size = found["logits"].numpy()[0], len(task.labels.names)
    transitions = np.zeros((size + 1, size + 1))
    if "transitions" in found:
        transitions = found["transitions"].numpy()
    paths = list(itertools.product(range(size), repeat=3))
    edges = np.pad(paths, ((0, 0), (1, 1)), constant_values=size)
    scores = sum(logits[step, np.array(paths)[:, step]] for step in range(3))
    scores = scores + sum(transitions[edges[:, i], edges[:, i + 1]] for i in range(4))
    logs = np.asarray(tf.nn.log_softmax(scores.astype(float)))
    ranked = np.argsort(-logs)
    names = [[task.labels.names[label] for label in paths[index]] for index in ranked[:4]]
    assert [each["labels"] for each in row["hypotheses"]] == names
    np.testing.assert_allclose(
        [each["score"] for each in row["hypotheses"]], logs[ranked[:4]], rtol=1e-4
    )
    marginal = [
        sum(np.exp(logs[i]) for i, path in enumerate(paths) if path[step] == paths[ranked[0]][step])
        for step in range(3)
    ]
    np.testing.assert_allclose(row["token_probabilities"], marginal, atol=1e-5)
    assert task.predict(model, [{"tokens": tokens}])[0]["labels"] == row["labels"]


@pytest.mark.parametrize("output", ["softmax", "constrained_softmax", "crf"])
def test_constrained_outputs_write_what_the_scheme_allows(tagger, output):
    task, model = tagger(output)
    random = np.random.default_rng(0)
    tokens = ["Ann", "met", "Rome", "zz", "New", "old"]
    inputs = [{"tokens": random.permutation(tokens).tolist()} for _ in range(30)]
    sentences = [row["labels"] for row in task.predict(model, inputs)]
    well_formed = [is_well_formed(labels, "IOB2") for labels in sentences]
    assert all(well_formed) == (output != "softmax")


def test_raw_sentences_are_cut_into_tokens(tagger):
    task, model = tagger("softmax")
    (row,) = task.predict(model, ["Ann's here!"])
    assert row["tokens"] == ["Ann", "'", "s", "here", "!"]
    assert row["source"] == "Ann's here!"


def test_lists_of_tokens_are_sentences(tagger):
    task, model = tagger("softmax")
    tokens = ["Ann", "lives", "in", "Paris"]
    rows = task.predict(model, [tokens, tokens])
    assert rows == task.predict(model, [{"tokens": tokens}, tuple(tokens)])
    for blank in ("", " \t", "\u200b", "\u00a0"):
        [row] = task.predict(model, [blank])
        assert (row["prediction"], row["labels"]) == ("", [])
    for wrong in (None, 3, [None], [["a"]], {"tokens": "a"}, ["\ud800"]):
        with pytest.raises(UserError, match=r"(input|record) 1"):
            task.predict(model, [wrong])


def test_loss_of_both_outputs_is_a_mean_over_tokens():
    labels = np.array([[0, 1, 2], [2, 0, 0], [1, 1, -1]])
    weights = np.array([[1, 1, 1], [1, 0, 0], [0, 0, 0]], np.float32)
    logits = tf.constant(np.random.default_rng(0).normal(size=(3, 3, 3)), tf.float32)
    plain = TaggingLoss()(labels, {"logits": logits}, weights).objective
    free = {"logits": logits, "transitions": tf.zeros((4, 4))}
    chain = TaggingLoss()(labels, free, weights).objective
    for losses in (plain, chain):  # without transitions, a CRF is a softmax
        expected = tf.nn.sparse_softmax_cross_entropy_with_logits(np.maximum(labels, 0), logits)
        expected = np.sum(expected * weights, axis=1)
        np.testing.assert_allclose(np.sum(losses * weights, axis=1), expected, rtol=1e-5)


def test_evaluation_of_what_is_learned_by_heart(tmp_path):
    config, task, model = prepared(
        data_of(tmp_path), "task.scheme=IOB2", "task.train_scheme=BIOES", "batching.batch_size=4"
    )
    trainer, optimizer = build(config, "trainer"), keras.optimizers.Adam(0.05)
    trainer.epochs = 25
    trainer.fit(model.loss_model, task, optimizer, tmp_path / "run", dict, lambda *_: None)
    records = [{"tokens": tokens, "labels": labels.split()} for tokens, labels in SENTENCES]
    evaluation = task.evaluate(model, records)
    assert evaluation.scores["accuracy"] == 1
    assert evaluation.scores["f1"] == evaluation.scores["strict_f1"] == 1
    assert evaluation.rows[0]["reference"] == SENTENCES[0][1]
    nothing = task.evaluate(model, [{"tokens": [], "labels": []}])
    assert task.figures(model, nothing) == {}
    assert {row["type"]: row["entities"] for row in evaluation.tables["entities"]} == {
        "P": 3,
        "L": 3,
    }
    assert evaluation.tables["errors"] == []
    assert set(task.figures(model, evaluation)) == {"confusion"}
    assert "scheme:IOB2" in evaluation.signatures["f1"]
    measured = trainer.measure(model.loss_model, task.loss, task.batches("test"))
    assert measured["loss"] < 0.1


def test_labels_that_training_does_not_have(tmp_path, caplog):
    test = [(["Ann", "met"], "B-P O"), (["New", "x"], "B-NEW O")]
    with caplog.at_level(logging.WARNING, logger="seq2seq"):
        data = data_of(tmp_path, test=test)
        config, task, model = prepared(data, "task.scheme=IOB2")
    assert "test: 1 token(s) of 1 label(s) that training does not have" in caplog.text
    assert f"B-NEW ({tmp_path / 'test'}:2)" in caplog.text
    measured = build(config, "trainer").measure(model.loss_model, task.loss, task.batches("test"))
    assert np.isfinite(measured["loss"])
    (batch,) = list(task.batches("test"))
    assert sorted(np.sum(batch[2], axis=1)) == [0, 2]
    assert len(task.evaluate(model, data.records("test")).tables["errors"]) > 0


def test_records_without_tokens_are_left_out_and_reported(tmp_path, caplog):
    with caplog.at_level(logging.INFO, logger="seq2seq"):
        _, task, model = prepared(data_of(tmp_path, [*SENTENCES, ([], "")]))
    assert f"1 without tokens ({tmp_path / 'train'}:5)" in caplog.text
    assert len(task.stores["train"]) == len(SENTENCES)
    assert len(task.evaluate(model, [{"tokens": [], "labels": []}]).rows) == 1


@pytest.mark.parametrize(
    ("sentences", "overrides", "message"),
    [
        ([(["a", "b"], "O")], [], r"train:1: 2 tokens, but 1 labels: each token needs one"),
        (
            [*SENTENCES, (["a"], "PER")],
            ["task.scheme=IOB2"],
            r"train:5: task.scheme: 'PER' is no label of the scheme IOB2",
        ),
        (SENTENCES, ["tokenizer.columns=[pos]"], "needs a list of texts in the field 'pos'"),
        (SENTENCES, ["tokenizer.vectors=nowhere"], "nowhere: cannot be read"),
        (SENTENCES, ["tokenizer.minimum_frequency=9"], "no word that is frequent enough"),
    ],
)
def test_bad_data(tmp_path, sentences, overrides, message):
    with pytest.raises(UserError, match=message):
        prepared(data_of(tmp_path, sentences), *overrides)


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["task.scheme=IOBES"], "scheme: must be one of IOB1, IOB2, BIOES or null"),
        (["task.train_scheme=BIOES"], "train_scheme: needs scheme"),
    ],
)
def test_bad_settings(overrides, message):
    with pytest.raises(UserError, match=message):
        build_task(composed([*SMALL, *overrides]))


def test_constraints_need_a_scheme(tagger):
    _, model = tagger("constrained_softmax")
    task = build_task(composed(SMALL))
    with pytest.raises(UserError, match=r"constrained_softmax: without task\.scheme"):
        task.check_model(model)


def test_example_arguments_make_a_model_before_the_data_are_read():
    for overrides in (["tokenizer.casing=false"], ["tokenizer.vectors=x", "model.embedding_dim=0"]):
        config = composed([*SMALL, *overrides])
        build(config, "model", **build_task(config).example_arguments)
    without = composed([*SMALL, "model/character_features=none"])
    with pytest.raises(UserError, match="character_features"):
        build(without, "model", **build_task(without).example_arguments)


@pytest.mark.parametrize("policy", ["float32", "mixed_bfloat16"])
def test_a_saved_model_predicts_the_same(tmp_path, policy):
    (tmp_path / "vectors").write_text("ann 1 2\nzzz 3 4\n")
    keras.config.set_dtype_policy(policy)
    try:
        config, task, model = prepared(
            data_of(tmp_path),
            f"precision={policy}",
            "task.scheme=IOB2",
            "task.train_scheme=IOB1",
            f"tokenizer.vectors={tmp_path / 'vectors'}",
            "model/character_features=cnn",
        )
    finally:
        keras.config.set_dtype_policy("float32")
    (tmp_path / "vectors").unlink()
    np.testing.assert_array_equal(
        model.vector_embedding.get_weights()[0], [[0, 0], [0, 0], [1, 2], [3, 4]]
    )
    save_model_folder(tmp_path / "run" / "model", task, model, config)
    inputs = [*(tokens for tokens, _ in SENTENCES), ["zzz", "?"]]
    records = [{"tokens": tokens} for tokens in inputs]
    expected = task.predict(model, records)
    assert Predictor.load(tmp_path / "run")(records) == expected
    several = Predictor(*load_model_folder(tmp_path / "run"))(records, n_best=2)
    assert [len(row["hypotheses"]) for row in several] == [2] * 5
