"""One encoder, two decoders of different vocabularies; the first decides when the second speaks.

The encoder reads a date as people write it. The first decoder writes it as `2051-08-07`. Where it
predicts a hyphen, and only there, the second decoder is fed with the first one's output and says in
words what comes next: the month, then the day. Elsewhere a mask keeps its state as it is.
"""

from itertools import islice

import keras
import numpy as np

from seq2seq.data.embedded.cldr_dates import date_examples
from seq2seq.data.tokenizers.tokenizer import PAD, Tokenizer
from seq2seq.layers.recurrent import LSTM

UNITS = 96
LETTERS = "?0123456789-"  # what the first decoder reads and writes; ? is the start
MONTHS = "January February March April May June July August September October November December"
WORDS = ["", *MONTHS.split(), *(f"{day}." for day in range(1, 32))]


def read(split, count):
    """Returns `(source, ISO form)` of some dates that are written in Spanish."""
    examples = (e for e in date_examples(split) if e.language == "es")
    return [(e.source, e.target) for e in islice(examples, count)]


train, validation = read("train", 1600), read("validation", 80)
tokenizer = Tokenizer("character").fit([source for source, _ in train])


def batch(pairs):
    """Returns `(source, letters to read)`, and what both decoders are to say."""
    source = keras.utils.pad_sequences(tokenizer.encode([s for s, _ in pairs]), padding="post")
    written = np.array([[LETTERS.index(letter) for letter in f"?{target}"] for _, target in pairs])
    spoken = np.zeros((len(pairs), 10), int)  # 0, which the loss ignores, but at the hyphens
    spoken[:, 4] = [int(target[5:7]) for _, target in pairs]
    spoken[:, 7] = [12 + int(target[8:]) for _, target in pairs]
    return (source, written[:, :-1]), {"letters": written[:, 1:], "words": spoken}


source, before = keras.Input((None,), dtype="int32"), keras.Input((10,), dtype="int32")
keras.utils.set_random_seed(1)
wide = keras.initializers.RandomNormal(stddev=1)  # learns faster than Keras' own
vectors = keras.layers.Embedding(tokenizer.size, 48, wide)(source)
_, *states = LSTM(UNITS, return_state=True)(vectors, mask=keras.ops.not_equal(source, PAD))
vectors = keras.layers.Embedding(len(LETTERS), 16, wide)(before)
first = LSTM(UNITS, return_sequences=True)(vectors, initial_state=states)
letters = keras.layers.Dense(len(LETTERS), name="letters")(first)
hyphens = keras.ops.equal(keras.ops.argmax(letters, axis=-1), LETTERS.index("-"))
second = LSTM(UNITS, return_sequences=True)(first, initial_state=states, mask=hyphens)
words = keras.layers.Dense(len(WORDS), name="words")(second)
model = keras.Model((source, before), {"letters": letters, "words": words})

loss = {
    "letters": keras.losses.SparseCategoricalCrossentropy(from_logits=True),
    "words": keras.losses.SparseCategoricalCrossentropy(from_logits=True, ignore_class=0),
}
model.compile(keras.optimizers.Adam(1e-2), loss, jit_compile=False)
model.fit(*batch(train), batch_size=64, epochs=8, verbose=0)

inputs, truth = batch(validation)
said = {name: logits.argmax(axis=-1) for name, logits in model.predict(inputs, verbose=0).items()}
heard = keras.Model(model.input, hyphens).predict(inputs, verbose=0)
for (text, _), row, words, fed in list(zip(validation, *said.values(), heard, strict=True))[:5]:
    spoken = " ".join(WORDS[word] for word in words[fed])
    print(f"{text:36} {''.join(LETTERS[i] for i in row)}  {spoken}")
asked = truth["words"] > 0
print(f"letters right: {np.mean(said['letters'] == truth['letters']):.3f}")
print(f"words right:   {np.mean((said['words'] == truth['words'])[asked]):.3f}")
print(f"fed only where a hyphen was predicted: {np.array_equal(heard, said['letters'] == 11)}")
