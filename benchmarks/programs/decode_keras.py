"""Stock Keras, one `predict` a token: `python -m benchmarks.programs.decode_keras JOB`."""

from typing import Any

import keras
import numpy as np
import tensorflow as tf

from benchmarks.batches import END, START, Batch
from benchmarks.programs.decode import NEVER, measure
from benchmarks.programs.job import Job
from benchmarks.works import Work


def main() -> None:
    """Decodes and reports."""
    job = Job.from_arguments()
    keras.utils.set_random_seed(1)
    encoder, decoder = models(job.work)

    def greedy(batch: Batch) -> np.ndarray:
        source, lengths = batch["source"], batch["source_length"]
        memory, h, c = encoder.predict(source, verbose=0)
        tokens, found = np.full((len(source), 1), START, np.int32), []
        for time in range(int(lengths.max()) + 1):
            inputs = [tokens, memory, source != 0, h, c]
            logits, h, c = decoder.predict(inputs, verbose=0)
            chosen = np.where(lengths <= time, END, logits[:, 0].argmax(axis=1))
            tokens = chosen.astype(np.int32)[:, np.newaxis]
            found.append(chosen)
        return np.stack(found, axis=1)

    measure(job, {"greedy": greedy}, greedy, tensorflow=tf.__version__, keras=keras.__version__)


def models(work: Work) -> tuple[Any, Any]:
    """Returns the encoder and the one-step decoder, as Keras' examples make them."""
    layers, width = keras.layers, work.encoder_width
    source = keras.Input((None,), dtype="int32")
    vectors = layers.Embedding(work.vocabulary, work.embedding, mask_zero=True)(source)
    memory, *states = layers.Bidirectional(
        layers.LSTM(work.units, return_sequences=True, return_state=True)
    )(vectors)
    h, c = (layers.Concatenate()(states[field::2]) for field in (0, 1))
    encoder = keras.Model(source, [memory, h, c])
    token, given = keras.Input((1,), dtype="int32"), keras.Input((None, width))
    mask = keras.Input((None,), dtype="bool")
    h, c = keras.Input((width,)), keras.Input((width,))
    outputs, *after = layers.LSTM(width, return_sequences=True, return_state=True)(
        layers.Embedding(work.vocabulary, work.embedding)(token), initial_state=[h, c]
    )
    context = layers.Attention()([outputs, given], mask=[None, mask])
    hidden = layers.Dense(width, activation="tanh")(layers.Concatenate()([outputs, context]))
    output_layer = layers.Dense(work.outputs)
    decoder = keras.Model([token, given, mask, h, c], [output_layer(hidden), *after])
    bias = np.zeros(work.outputs, np.float32)
    bias[END] = NEVER
    output_layer.bias.assign(bias)
    return encoder, decoder


if __name__ == "__main__":
    main()
