"""Dynamic evaluation measures first and learns afterwards, and leaves the model as it was."""

import numpy as np
import pytest
import tensorflow as tf

from seq2seq.data.tokenizers.tokenizer import END, START
from seq2seq.errors import UserError
from seq2seq.tasks.model_folder import build_task
from seq2seq.training.dynamic_evaluation import dynamic_loss
from tests.language_run import prepared

TEXTS = ["the cat", "the dog", "the cow", "cow"] * 3


@pytest.fixture(autouse=True)
def own_cache(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


def plain_dynamic_nats(model, documents, rate):
    """One document after the other, each a window, with an optimizer written down in numpy."""
    variables = model.trainable_variables
    squares, nats = [np.zeros(v.shape) for v in variables], []
    for step, ids in enumerate(documents, start=1):
        inputs, labels = np.array([[START, *ids]]), np.array([[*ids, END]])
        with tf.GradientTape() as tape:
            losses = tf.nn.sparse_softmax_cross_entropy_with_logits(
                labels, model({"tokens": inputs})
            )
            mean = tf.reduce_mean(losses)
        nats += losses.numpy().ravel().tolist()
        gradients = map(tf.convert_to_tensor, tape.gradient(mean, variables))
        for variable, square, gradient in zip(variables, squares, gradients, strict=True):
            square[...] = 0.999 * square + 0.001 * gradient.numpy() ** 2
            root = np.sqrt(square / (1 - 0.999**step))
            variable.assign_sub(rate * gradient / np.maximum(root, 1e-12))
    return np.mean(nats)


def test_each_window_is_predicted_by_what_has_learned_from_all_before_it(tmp_path):
    _, task, model = prepared(tmp_path, "task.dynamic_rate=0.003", "batching.batch_size=3")
    records = [{"text": text} for text in TEXTS]  # each is shorter than a window of 8
    variables = model.training_model.trainable_variables
    before = [variable.numpy() for variable in variables]
    scores = task.evaluate(model, records).scores
    for old, new in zip(before, variables, strict=True):
        np.testing.assert_array_equal(old, new)
    expected = plain_dynamic_nats(model.training_model, task.tokenizer.encode(TEXTS), 0.003)
    assert np.log(scores["dynamic_perplexity"]) == pytest.approx(expected, rel=1e-3)
    assert scores["dynamic_nats_per_character"] < scores["nats_per_character"]


def test_a_rate_of_nothing_changes_nothing(tmp_path):
    _, task, model = prepared(tmp_path, "batching.batch_size=1")
    text = task.tokenizer.decode([task.stores["test"].columns["text"].tokens])[0]
    static = task.evaluate(model, [{"text": text}])
    found = dynamic_loss(model.loss_model, task.loss, 0.0, task.batches("test"))
    assert np.exp(found) == pytest.approx(static.scores["perplexity"], rel=1e-5)
    assert not any(name.startswith("dynamic_") for name in static.scores)


def test_an_impossible_rate_is_refused(tmp_path):
    config, *_ = prepared(tmp_path)
    config.task.dynamic_rate = -0.1
    with pytest.raises(UserError, match=r"task.dynamic_rate=-0.1 is below 0"):
        build_task(config)
