"""The task generation on a small text: its scores, and a training that is interrupted."""

import math
import os
import signal

import keras
import numpy as np
import pytest

from seq2seq.config import build, composed, register_recipe
from seq2seq.data.formats.plain_text import PlainText
from seq2seq.data.tokenizers.tokenizer import END, START
from seq2seq.data.windows import Windows
from seq2seq.tasks.model_folder import build_task, load_model_folder
from seq2seq.training.stop_on_signal import TrainingInterrupted
from seq2seq.training.trainer import Trainer
from tests.language_run import TEXT, prepared, saved_run


@pytest.fixture(autouse=True)
def own_cache(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


def nats(model, ids, length=None):
    """What a document costs: read as a whole, or in windows that each start from zeros."""
    inputs, labels = np.array([START, *ids]), np.array([*ids, END])
    total = 0.0
    for start in range(0, len(inputs), length or len(inputs)):
        window = slice(start, start + (length or len(inputs)))
        logits = model.training_model({"tokens": inputs[None, window]}).numpy()[0]
        log_sums = np.log(np.exp(logits.astype(np.float64)).sum(-1))
        total += (log_sums - logits[np.arange(len(logits)), labels[window]]).sum()
    return total


@pytest.mark.parametrize("batch_size", [1, 2, 8])
@pytest.mark.parametrize("kind", ["character", "bpe"])
def test_scores_count_characters_whatever_the_tokens_and_the_batch(tmp_path, kind, batch_size):
    overrides = [f"batching.batch_size={batch_size}"]
    if kind == "bpe":
        overrides += ["tokenizer=text/bpe", "tokenizer.vocabulary_size=270"]
    _, task, model = prepared(tmp_path, *overrides)
    texts = ["To be or not.", "The rest", "Question: silence?\n"]
    evaluation = task.evaluate(model, [{"text": text} for text in texts])
    ids = task.tokenizer.encode(texts)
    characters, predictions = sum(map(len, texts)), sum(map(len, ids)) + 3
    for prefix, length in (("", None), ("reset_", 8)):
        total = sum(nats(model, each, length) for each in ids)
        expected = {
            "nats_per_character": total / characters,
            "bits_per_character": total / characters / math.log(2),
            "perplexity": math.exp(total / predictions),
        }
        for name, value in expected.items():
            assert evaluation.scores[prefix + name] == pytest.approx(value, rel=1e-4)
    assert len(evaluation.rows) == 8
    assert {"source", "reference", "prediction", "score"} <= set(evaluation.rows[0])
    assert all(row["source"] + row["reference"] in texts_around(texts) for row in evaluation.rows)


def texts_around(texts):
    return "\x00".join(texts)


def test_a_model_begins_with_how_frequent_tokens_are(tmp_path):
    _, task, model = prepared(tmp_path, "tokenizer=text/character")
    task.initialize(model)
    column = task.stores["train"].columns["text"]
    labels = [*column.tokens.tolist(), *[END] * (len(column.offsets) - 1)]
    seen = np.bincount(labels, minlength=task.tokenizer.size) + 1
    shares = keras.ops.softmax(model.output_layer.bias).numpy()
    np.testing.assert_allclose(shares, seen / seen.sum(), rtol=1e-5)
    _, task, model = prepared(tmp_path, "model.embeddings=tied")
    task.initialize(model)  # which has no bias


class InterruptAt(keras.callbacks.Callback):
    def __init__(self, step):
        super().__init__()
        self.step, self.seen = step, 0

    def on_train_batch_end(self, batch, logs=None):
        self.seen += 1
        if self.seen == self.step:
            os.kill(os.getpid(), signal.SIGINT)


def fit(folder, task, model, **options):
    trainer = Trainer(epochs=2, **options)
    trainer.fit(model.loss_model, task, keras.optimizers.Adam(0.01), folder, dict, lambda *_: None)
    return [weight.numpy() for weight in model.loss_model.weights]


def test_interrupted_within_an_epoch_and_resumed_equals_not_having_stopped(tmp_path):
    """The carried state is part of the checkpoint."""
    stop = {"stop": InterruptAt(7)}
    _, task, model = prepared(tmp_path)
    assert len(task.batch_order) > 7
    whole = fit(tmp_path / "whole", task, model)
    _, task, model = prepared(tmp_path)
    with pytest.raises(TrainingInterrupted):
        fit(tmp_path / "parts", task, model, callbacks=stop)
    _, task, model = prepared(tmp_path)
    for one, other in zip(fit(tmp_path / "parts", task, model, resume=True), whole, strict=True):
        np.testing.assert_array_equal(one, other)


def test_a_saved_run_predicts_the_same(tmp_path):
    _, task, model = prepared(tmp_path)
    prompts = ["To be", "", "silence"]
    expected = task.predict(model, prompts)
    folder = saved_run(tmp_path)
    again, loaded = load_model_folder(folder)
    assert [row["prediction"] for row in again.predict(loaded, prompts)] == [
        row["prediction"] for row in expected
    ]
    assert [row["source"] for row in expected] == prompts


def test_several_samples_are_hypotheses(tmp_path):
    _, task, model = prepared(tmp_path, "decoding.samples=3")
    row = task.predict(model, ["To be"])[0]
    assert len(row["hypotheses"]) == 3
    assert row["prediction"] == row["hypotheses"][0]["prediction"]


def test_beam_search_goes_on_with_prompts_as_greedy_search_does_with_one_hypothesis(tmp_path):
    limits = ["decoding.maximum_length_ratio=0.0", "decoding.maximum_length_extra=5"]
    rows = []
    for search in (["decoding=greedy"], ["decoding=beam", "decoding.beam_size=1"]):
        _, task, model = prepared(tmp_path, *search, *limits)
        rows.append(task.predict(model, ["To be", "", "The rest is"]))
    for one, other in zip(*rows, strict=True):
        assert one["prediction"] == other["prediction"]
        assert one["score"] == pytest.approx(other["score"], abs=1e-4)


def test_the_recipe_is_built(tmp_path):
    config = composed([f"recipe={register_recipe('generation/tiny_shakespeare')}", "tracking=none"])
    for part in ("data", "optimizer", "trainer", "tracking"):
        build(config, part)
    assert build(composed(["data=tiny_shakespeare_tfds"]), "data").split_names
    (tmp_path / "text.txt").write_text(TEXT)
    task = build_task(config)
    assert isinstance(task.batching, Windows)
    tail = {"validation": 0.05, "test": 0.1}
    task.prepare(PlainText(str(tmp_path), {"train": "text.txt"}, tail=tail), seed=1)
    model = build(config, "model", **task.model_arguments())
    inputs, labels, weights = next(iter(task.training_data()))
    assert labels.shape == weights.shape == inputs["tokens"].shape
    assert model.loss_model(inputs)["features"].shape == (*labels.shape, 512)


def test_features_are_the_states_after_each_text(tmp_path):
    _, task, model = prepared(tmp_path, "model.stack.layers=2")
    texts = ["To be", "", "The rest is silence"]
    together = task.features(model, texts, batch_size=2)
    fields = [f"source.layer_{layer}.forward.{field}" for layer in (0, 1) for field in "hc"]
    assert list(together) == fields
    for number, text in enumerate(texts):
        ids = np.array([[START, *task.tokenizer.encode([text])[0]]], np.int32)
        _, states = model.stack(model.embedding(ids))
        for name, values in together.items():
            layer, field = int(name.split(".")[1][-1]), name[-1]
            np.testing.assert_allclose(values[number], states[layer][field][0], atol=1e-6)
