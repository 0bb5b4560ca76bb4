"""Two texts, one answer: softmax(V tanh(W1 h1 + W2 h2)).

h1 and h2 are what one LSTM makes of two dates, each written in any of four languages; the model
says which of the two is the earlier one.
"""

from itertools import islice

import keras
import numpy as np

from seq2seq.data.embedded.cldr_dates import date_examples
from seq2seq.data.tokenizers.tokenizer import PAD, Tokenizer
from seq2seq.layers.dense import Dense
from seq2seq.layers.recurrent import LSTM

examples = [e for e in date_examples("train") if e.language in ("en", "es", "fi", "it")]
dates = list(islice(examples, 4400))
texts = [date.source for date in dates]
tokenizer = Tokenizer("character").fit(texts)
ids = keras.utils.pad_sequences(tokenizer.encode(texts), padding="post")
pairs = np.random.default_rng(1).integers(400, len(dates), (6000, 2))
new_pairs = np.random.default_rng(2).integers(0, 400, (1000, 2))
days = np.array([date.target for date in dates], "datetime64[D]")

keras.utils.set_random_seed(1)
inputs = [keras.Input((None,), dtype="int32") for _ in range(2)]
embed, reader = keras.layers.Embedding(tokenizer.size, 16), LSTM(48)
h1, h2 = (reader(embed(text), mask=keras.ops.not_equal(text, PAD)) for text in inputs)
hidden = keras.ops.tanh(Dense(64)(h1) + Dense(64, use_bias=False)(h2))
model = keras.Model(inputs, keras.layers.Dense(2, activation="softmax")(hidden))
model.compile(
    keras.optimizers.Adam(1e-2),
    "sparse_categorical_crossentropy",
    metrics=["accuracy"],
    jit_compile=False,
)


def both(pairs):
    """Returns the texts of pairs, and whether the second is the earlier one."""
    return [ids[pairs[:, 0]], ids[pairs[:, 1]]], (days[pairs[:, 0]] > days[pairs[:, 1]]) * 1


model.fit(*both(pairs), batch_size=100, epochs=3, verbose=0)
_, accuracy = model.evaluate(*both(new_pairs), verbose=0)
print(f"right of {len(new_pairs)} new pairs: {accuracy:.3f}")
