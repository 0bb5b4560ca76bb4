"""Every attention that can be chosen by name is built and trained a step."""

import numpy as np
import pytest
import tensorflow as tf

from seq2seq.config import build, composed, folder
from seq2seq.errors import UserError
from seq2seq.tasks.model_folder import precision
from seq2seq.training.losses import TokenCrossEntropy

SMALL = ["tracking=none", "model.encoder.units=8", "model.decoder.units=16"]
CHOICES = sorted(path.stem for path in (folder("conf") / "model" / "attention").glob("*.yaml"))

FULL = [
    "model.decoder.input_feeding=true",
    "model.decoder.attention_layer=first",
    "model.decoder.layers=2",
    "model.copy=true",
    "model.coverage_loss=0.5",
]


def make(choice, *overrides):
    config = composed([*SMALL, f"model/attention={choice}", *overrides])
    return build(config, "model", source_vocabulary_size=20, target_vocabulary_size=20)


@pytest.mark.parametrize(
    ("choice", "overrides", "policy"),
    [
        *((choice, [], "float32") for choice in CHOICES),
        *((choice, FULL, "mixed_bfloat16") for choice in CHOICES if choice != "none"),
    ],
)
def test_choice(choice, overrides, policy):
    with precision(policy):
        model = make(choice, *overrides)
    inputs = {
        "source": tf.constant([[4, 5, 6], [7, 0, 0]]),
        "source_length": tf.constant([3, 1]),
        "target": tf.constant([[1, 8], [1, 9]]),
    }
    with tf.GradientTape() as tape:
        terms = model.loss_model(inputs, training=True)
        losses = TokenCrossEntropy(0.1)(tf.constant([[8, 2], [9, 2]]), terms, tf.ones((2, 2)))
        loss = tf.reduce_mean(losses.objective)
    gradients = tape.gradient(loss, model.loss_model.trainable_variables)
    for gradient in gradients:
        assert np.isfinite(tf.convert_to_tensor(gradient)).all()
    assert (model.alignment_model is None) == (choice == "none")


def test_what_does_not_fit_is_refused_with_the_key():
    with pytest.raises(UserError, match="input_feeding: needs an attention"):
        make("none", "model.decoder.input_feeding=true")
    with pytest.raises(UserError, match=r"attention\.hedas: no such config key; .* 'model.decod"):
        make("multi_head", "model.decoder.attention.hedas=4")
    with pytest.raises(UserError, match=r"known: bahdanau, local, .*, none"):
        make("lung")
