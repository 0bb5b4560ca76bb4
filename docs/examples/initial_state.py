"""Where a decoder starts: from zeros, from a learned state, or from what another network says.

Three decoders learn to write dates in Spanish, letter by letter. The third starts from h and c that
two dense layers make of a context vector: the digits of the date, one-hot. Only it can know what to
write; the others learn what dates look like. A learned start says little more than the learned
vector of the start token does, so that it scores nearly as zeros do.
"""

from itertools import islice

import keras
import numpy as np

from seq2seq.data.embedded.cldr_dates import date_examples
from seq2seq.data.tokenizers.tokenizer import END, PAD, START, Tokenizer
from seq2seq.layers.dense import Dense
from seq2seq.layers.recurrent import LSTM

UNITS = 64


def read(split, count):
    """Returns some dates of a split."""
    return list(islice((e for e in date_examples(split) if e.language == "es"), count))


def contexts(examples):
    """Returns the eight digits of each date, one-hot, `(batch, 80)`."""
    digits = [[int(digit) for digit in e.target.replace("-", "")] for e in examples]
    return np.eye(10)[digits].reshape(-1, 80)


train, validation = read("train", 1500), read("validation", 80)
tokenizer = Tokenizer("character").fit([example.source for example in train])


def batch(examples):
    """Returns `(context, letters to read)`, and the letters to write, one step later."""
    ids = tokenizer.encode([example.source for example in examples])
    before = [[START, *letters] for letters in ids]
    after = [[*letters, END] for letters in ids]
    letters, labels = (keras.utils.pad_sequences(each, padding="post") for each in (before, after))
    return (contexts(examples), letters), labels


class LearnedState(keras.layers.Layer):
    """One trained vector, the same for every row of a batch."""

    def build(self, input_shape):
        """Makes the vector."""
        self.state = self.add_weight((1, UNITS), "zeros")

    def call(self, like):
        """Returns `(batch, UNITS)`, for as many rows as another tensor has."""
        return keras.ops.repeat(self.state, keras.ops.shape(like)[0], axis=0)


STARTS = {
    "zeros": lambda context: None,
    "a learned state": lambda context: [LearnedState()(context), LearnedState()(context)],
    "a context": lambda context: [Dense(UNITS, activation="tanh")(context), Dense(UNITS)(context)],
}

for name, start in STARTS.items():
    keras.utils.set_random_seed(1)
    context, letters = keras.Input((80,)), keras.Input((None,), dtype="int32")
    vectors = keras.layers.Embedding(tokenizer.size, 32)(letters)
    outputs = LSTM(UNITS, return_sequences=True)(vectors, initial_state=start(context))
    model = keras.Model((context, letters), keras.layers.Dense(tokenizer.size)(outputs))
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True, ignore_class=PAD)
    model.compile(keras.optimizers.Adam(1e-2), loss, jit_compile=False)
    model.fit(*batch(train), batch_size=50, epochs=6, verbose=0)
    nats = model.evaluate(*batch(validation), batch_size=80, verbose=0)
    print(f"starts from {name:16} validation: {nats:.3f} nats a letter")
