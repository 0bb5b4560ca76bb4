"""A sequence autoencoder: a text squeezed into one state, and written again from it alone.

The encoder's state is repeated for every step (`RepeatVector`), a decoder reads that, and one dense
layer says each letter (`TimeDistributed`). Nothing is labelled, but the state, a code of 96
numbers, puts texts beside each other that are alike: dates of a language are often neighbours.
"""

from itertools import islice

import keras
import numpy as np

from seq2seq.data.embedded.cldr_dates import date_examples
from seq2seq.data.tokenizers.tokenizer import PAD, Tokenizer
from seq2seq.layers.recurrent import LSTM

LENGTH, UNITS = 18, 96
LANGUAGES = ("cs", "de", "en", "es", "fi", "fr", "hu", "it", "pl", "pt", "tr")

examples = (
    e for e in date_examples("train") if e.language in LANGUAGES and len(e.source) <= LENGTH
)
texts, _, languages = zip(*islice(examples, 3000), strict=True)
tokenizer = Tokenizer("character").fit(texts)
ids = keras.utils.pad_sequences(tokenizer.encode(texts), LENGTH, padding="post")
train, test = ids[400:], ids[:400]

keras.utils.set_random_seed(1)
source = keras.Input((LENGTH,), dtype="int32")
wide = keras.initializers.RandomNormal(stddev=1)  # learns faster than Keras' own
vectors = keras.layers.Embedding(tokenizer.size, 32, wide)(source)
_, code, _ = LSTM(UNITS, return_state=True)(vectors, mask=keras.ops.not_equal(source, PAD))
repeated = keras.layers.RepeatVector(LENGTH)(code)
outputs = LSTM(UNITS, return_sequences=True)(repeated)
logits = keras.layers.TimeDistributed(keras.layers.Dense(tokenizer.size))(outputs)
autoencoder, encoder = keras.Model(source, logits), keras.Model(source, code)

loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True, ignore_class=PAD)
autoencoder.compile(keras.optimizers.Adam(5e-3), loss, jit_compile=False)
autoencoder.fit(train, train, batch_size=50, epochs=12, verbose=0)

written = autoencoder.predict(test, batch_size=400, verbose=0).argmax(axis=-1)
right = np.mean((written == test)[test != PAD])
print(f"letters right of {len(test)} new dates: {right:.3f}")

codes = encoder.predict(ids, batch_size=400, verbose=0)
codes /= np.linalg.norm(codes, axis=1, keepdims=True)
nearest = 400 + (codes[:400] @ codes[400:].T).argmax(axis=1)
for number in range(6):
    print(f"{texts[number]:22} is nearest to  {texts[nearest[number]]}")
same = np.mean([languages[i] == languages[n] for i, n in enumerate(nearest)])
print(f"the nearest is of the same language: {same:.2f} of {len(test)}")
