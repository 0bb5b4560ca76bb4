"""States as extra outputs, beside the trained one: loss and metrics do not notice.

A model may return more than it is trained on. An output whose loss is `None` is computed by
`predict`, but changes no gradient and no metric: a plain model of the same seed learns the same.
"""

from itertools import islice

import keras
import numpy as np

from seq2seq.data.embedded.cldr_dates import LANGUAGES, date_examples
from seq2seq.data.tokenizers.tokenizer import PAD, Tokenizer
from seq2seq.layers.recurrent import LSTM

examples = (e for e in date_examples("train") if not e.source.startswith("<"))
texts, _, languages = zip(*islice(examples, 2000), strict=True)
labels = np.array([LANGUAGES.index(language) for language in languages])
tokenizer = Tokenizer("character").fit(texts)
ids = keras.utils.pad_sequences(tokenizer.encode(texts), padding="post")


def train(with_states):
    """Returns a trained model, and loss and accuracy of its epochs."""
    keras.utils.set_random_seed(1)
    source = keras.Input((None,), dtype="int32")
    vectors = keras.layers.Embedding(tokenizer.size, 16)(source)
    mask = keras.ops.not_equal(source, PAD)
    sequence, h, c = LSTM(32, return_sequences=True, return_state=True)(vectors, mask=mask)
    outputs = {"language": keras.layers.Dense(len(LANGUAGES))(h)}
    losses = {"language": keras.losses.SparseCategoricalCrossentropy(from_logits=True)}
    if with_states:
        extra = {"sequence": sequence, "h": h, "c": c}
        outputs.update(extra)
        losses.update(dict.fromkeys(extra))  # None for each
    model = keras.Model(source, outputs)
    accuracy = {"language": "accuracy"}
    model.compile(keras.optimizers.Adam(1e-2), losses, metrics=accuracy, jit_compile=False)
    targets = {**dict.fromkeys(outputs), "language": labels}
    history = model.fit(ids, targets, batch_size=50, epochs=2, verbose=0)
    return model, history.history


model, history = train(with_states=True)
plain_model, plain_history = train(with_states=False)
print("loss with states:", history["loss"])
print("loss without:    ", plain_history["loss"])
print("accuracy:", history["language_accuracy"], plain_history["accuracy"])
equal = all(
    np.array_equal(one, other)
    for one, other in zip(model.get_weights(), plain_model.get_weights(), strict=True)
)
print(f"the same weights to the last bit: {equal}")
for name, value in model.predict(ids[:8], verbose=0).items():
    print(f"{name:10} {value.shape}")
