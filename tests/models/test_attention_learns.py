"""An attentional translator learns to reverse and copy digits, from a new random seed each time."""

import secrets

import keras
import numpy as np
import tensorflow as tf

from seq2seq.layers.attention import LuongAttention
from seq2seq.layers.bridge import ConcatenateBridge
from seq2seq.models.decoder import Decoder
from seq2seq.models.encoder import Encoder
from seq2seq.models.translator import Translator
from seq2seq.training.losses import TokenCrossEntropy
from seq2seq.training.masked_loss_model import MaskedLossModel

START, END, FIRST_DIGIT, LONGEST = 1, 2, 4, 8


def examples(generator, rows):
    """Returns a batch: the target is the source from its end, followed by the source."""
    lengths = generator.integers(1, LONGEST + 1, rows)
    source = generator.integers(FIRST_DIGIT, FIRST_DIGIT + 10, (rows, LONGEST))
    source *= np.arange(LONGEST) < lengths[:, None]
    labels = np.full((rows, 2 * LONGEST + 1), END)
    for row, length in enumerate(lengths):
        digits = source[row, :length]
        labels[row, : 2 * length] = [*digits[::-1], *digits]
    weights = np.arange(labels.shape[1]) <= 2 * lengths[:, None]
    target = np.pad(labels[:, :-1], ((0, 0), (1, 0)), constant_values=START)
    inputs = {"source": source, "source_length": lengths, "target": target}
    return inputs, labels, weights.astype("float32")


def greedy(model, source, lengths, steps):
    """Returns the tokens of a search that sees no reference, `(batch, steps)`."""
    start = model.encoder_model({"source": source, "source_length": lengths})
    states, tokens = start["states"], [np.full(len(source), START)]
    for _ in range(steps):
        found = model.decoder_model(
            {
                "target": tf.constant(tokens[-1][:, None]),
                "states": states,
                "memory": start["memory"],
            }
        )
        states = found["states"]
        tokens.append(found["logits"].numpy()[:, 0].argmax(axis=-1))
    return np.stack(tokens[1:], axis=1)


def test_reverse_and_copy_is_learnt():
    seed = secrets.randbelow(2**31)
    keras.utils.set_random_seed(seed)
    generator = np.random.default_rng(seed)
    vocabulary = FIRST_DIGIT + 10
    decoder = Decoder(units=64, attention=LuongAttention)
    model = Translator(
        vocabulary, vocabulary, Encoder(units=32), decoder, ConcatenateBridge, embedding_dim=32
    )
    trained = MaskedLossModel(
        model.training_model.input, model.training_model.output, TokenCrossEntropy()
    )
    rate = keras.optimizers.schedules.CosineDecay(1e-2, 400)
    trained.compile(keras.optimizers.Adam(rate), jit_compile=False)
    batches = tf.data.Dataset.from_tensor_slices(examples(generator, 400 * 64)).batch(64)
    trained.fit(batches, shuffle=False, verbose=0)

    inputs, labels, weights = examples(generator, 300)
    tokens = greedy(model, inputs["source"], inputs["source_length"], labels.shape[1])
    accuracy = np.sum((tokens == labels) * weights) / weights.sum()
    assert accuracy > 0.99, f"token accuracy {accuracy} with seed {seed}"
