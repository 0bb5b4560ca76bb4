"""Stacked GRUs of 64 and 50 units, whose last state starts a decoder of 50.

They read a date in Spanish and write its year. A GRU's state is h alone. The decoder can start from
the second layer's, as both have 50 units; the first layer's, of 64, would need a projection
(`seq2seq.layers.bridge.DenseBridge` makes one for any sizes).
"""

from itertools import islice

import keras
import numpy as np

from seq2seq.data.embedded.cldr_dates import date_examples
from seq2seq.data.tokenizers.tokenizer import END, PAD, START, Tokenizer
from seq2seq.layers.recurrent import GRU

examples = list(islice((e for e in date_examples("train") if e.language == "es"), 1500))
texts = [example.source for example in examples]
years = [example.target[:4] for example in examples]
sources, targets = Tokenizer("character").fit(texts), Tokenizer("character").fit(years)
ids = keras.utils.pad_sequences(sources.encode(texts), padding="post")
written = [[START, *letters, END] for letters in targets.encode(years)]
written = keras.utils.pad_sequences(written, padding="post")

keras.utils.set_random_seed(1)
lower, upper = GRU(64, return_sequences=True), GRU(50, return_state=True)
decoder = GRU(50, return_sequences=True, return_state=True)
wide = keras.initializers.RandomNormal(stddev=1)  # Keras' own are small: GRUs then learn late
embed_source = keras.layers.Embedding(sources.size, 32, wide)
embed_letters = keras.layers.Embedding(targets.size, 16, wide)
output_layer = keras.layers.Dense(targets.size)


def encode(source):
    """Returns the state after `(batch, steps)` ids, `(batch, 50)`."""
    mask = keras.ops.not_equal(source, PAD)
    _, state = upper(lower(embed_source(source), mask=mask), mask=mask)
    return state


def decode(letters, state):
    """Returns logits `(batch, steps, letters)`, and the state after them."""
    outputs, state = decoder(embed_letters(letters), initial_state=state)
    return output_layer(outputs), state


source, letters = keras.Input((None,), dtype="int32"), keras.Input((None,), dtype="int32")
model = keras.Model((source, letters), decode(letters, encode(source))[0])
loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True, ignore_class=PAD)
model.compile(keras.optimizers.Adam(4e-3), loss, jit_compile=False)
model.fit((ids[100:], written[100:, :-1]), written[100:, 1:], batch_size=50, epochs=16, verbose=0)

# Prediction takes the same layers one step at a time; the state goes from step to step.
letter, state, said = np.full((100, 1), START), encode(ids[:100]), []
for _ in range(written.shape[1] - 1):
    logits, state = decode(letter, state)
    letter = np.array(logits).argmax(axis=-1)
    said.append(letter[:, 0])
rows = np.stack(said, axis=1)
predictions = targets.decode(row[: np.argmax(row == END)] for row in rows)
for text, prediction in zip(texts[:5], predictions, strict=False):
    print(f"{text:36} {prediction}")
right = np.mean([p == year for p, year in zip(predictions, years[:100], strict=True)])
print(f"state: {state.shape[-1]} units; years of new dates right: {right:.2f}")
