"""Two streams side by side: after each step their cell states are averaged and fed back to both.

One LSTM reads the characters of a date, the other what kind each is of (upper case, digit, mark,
...). Each keeps its own h; c they share. Together they tell the language. `scan` runs the step,
which may be any function, as one compiled loop; a loop in numpy gives the same.
"""

import unicodedata
from itertools import islice

import keras
import numpy as np

from seq2seq.data.embedded.cldr_dates import LANGUAGES, date_examples
from seq2seq.data.tokenizers.tokenizer import Tokenizer
from seq2seq.layers.recurrent import LSTM
from seq2seq.ops.scan import scan

UNITS = 32


class AveragedCells(keras.layers.Layer):
    """Two LSTMs with one cell state; returns both last h, `(batch, 2 * UNITS)`."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.readers = [LSTM(UNITS, return_state=True, name=name) for name in ("one", "other")]

    def call(self, one, other):
        """Reads two sequences `(batch, steps, features)` of as many steps."""

        def step(inputs, state):
            pairs = zip(self.readers, inputs, state["h"], strict=True)
            results = [reader(x, initial_state=[h, state["c"]]) for reader, x, h in pairs]
            mean = (results[0][2] + results[1][2]) / 2
            return mean[:, None], {"h": [after[1] for after in results], "c": mean}

        zeros = keras.ops.zeros((keras.ops.shape(one)[0], UNITS))
        _, last = scan(step, (one, other), {"h": [zeros, zeros], "c": zeros})
        return keras.ops.concatenate(last["h"], axis=-1)


def in_numpy(layer, streams):
    """The same, gate by gate."""
    sigmoid = lambda x: 1 / (1 + np.exp(-x))  # noqa: E731
    hs, c = [np.zeros((len(streams[0]), UNITS))] * 2, np.zeros((len(streams[0]), UNITS))
    for t in range(streams[0].shape[1]):
        cells = [c, c]
        for n, reader in enumerate(layer.readers):
            kernel, recurrent_kernel, bias = reader.get_weights()
            gates = streams[n][:, t] @ kernel + hs[n] @ recurrent_kernel + bias
            i, f, g, o = np.split(gates, 4, axis=-1)
            cells[n] = sigmoid(f) * c + sigmoid(i) * np.tanh(g)
            hs[n] = sigmoid(o) * np.tanh(cells[n])
        c = (cells[0] + cells[1]) / 2
    return np.concatenate(hs, axis=-1)


# Dates with a tag such as <fr> would give the language away.
examples = (e for e in date_examples("train") if not e.source.startswith("<"))
texts, _, languages = zip(*islice(examples, 2400), strict=True)
labels = np.array([LANGUAGES.index(language) for language in languages])
categories = [" ".join(map(unicodedata.category, text)) for text in texts]  # such as Lu, Nd
characters, kinds = Tokenizer("character").fit(texts), Tokenizer("word").fit(categories)
ids = characters.encode(texts), kinds.encode(categories)
ids = [keras.utils.pad_sequences(each, 24) for each in ids]
test, train = [each[:400] for each in ids], [each[400:] for each in ids]

keras.utils.set_random_seed(1)
inputs = [keras.Input((24,), dtype="int32") for _ in range(2)]
embeddings = [keras.layers.Embedding(n, 16) for n in (characters.size, kinds.size)]
cells = AveragedCells()
vectors = [embed(each) for embed, each in zip(embeddings, inputs, strict=True)]
model = keras.Model(inputs, keras.layers.Dense(len(LANGUAGES))(cells(*vectors)))
loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
model.compile(keras.optimizers.Adam(1e-2), loss, metrics=["accuracy"], jit_compile=False)
model.fit(train, labels[400:], batch_size=50, epochs=3, verbose=0)
_, accuracy = model.evaluate(test, labels[:400], verbose=0)
print(f"languages of new dates right: {accuracy:.3f} (1 of {len(LANGUAGES)} by chance)")

two = [np.array(embed(each)) for embed, each in zip(embeddings, test, strict=True)]
difference = np.abs(np.array(cells(*two)) - in_numpy(cells, two)).max()
print(f"largest difference from the loop in numpy: {difference:.1e}")
