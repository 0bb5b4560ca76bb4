"""One program's training step: the same translator on our layers, or on stock Keras' layers.

`python -m benchmarks.training_step WORK PROGRAM` prints one JSON object.
"""

import json
import os
import statistics
import sys
import time

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
STARTED = time.perf_counter()

import keras  # noqa: E402
import numpy as np  # noqa: E402
import tensorflow as tf  # noqa: E402

from seq2seq.layers.bridge import ConcatenateBridge  # noqa: E402
from seq2seq.models import cells  # noqa: E402
from seq2seq.models.decoder import Decoder  # noqa: E402
from seq2seq.models.encoder import Encoder  # noqa: E402
from seq2seq.models.translator import Translator  # noqa: E402
from seq2seq.training.losses import TokenCrossEntropy  # noqa: E402
from seq2seq.training.trainer import compiled  # noqa: E402

# The shapes of the recipes translation/cldr_dates and translation/multi30k_en_de.
WORKS = {
    "dates": {"units": 128, "embedding": 128, "vocabulary": 271, "source": 20, "target": 11},
    "captions": {"units": 256, "embedding": 256, "vocabulary": 6000, "source": 14, "target": 15},
}
BATCH, WARM_UP, STEPS = 64, 5, 30


def main(work: str, program: str) -> None:
    """Measures and prints."""
    if program == "keras":
        cells.CELLS["lstm"] = keras.layers.LSTM
    shape = WORKS[work]
    keras.utils.set_random_seed(1)
    translator = Translator(
        shape["vocabulary"],
        shape["vocabulary"],
        Encoder(units=shape["units"]),
        Decoder(units=2 * shape["units"]),
        ConcatenateBridge,
        embedding_dim=shape["embedding"],
    )
    optimizer = keras.optimizers.Adam(global_clipnorm=1.0)
    model = compiled(translator.training_model, TokenCrossEntropy(), optimizer)
    batch = random_batch(shape)
    step = tf.function(model.train_step)
    step(batch)["loss"].numpy()
    first = time.perf_counter() - STARTED
    seconds = []
    for _ in range(WARM_UP + STEPS):
        begin = time.perf_counter()
        step(batch)["loss"].numpy()
        seconds.append(time.perf_counter() - begin)
    median = statistics.median(seconds[WARM_UP:])
    figures = {
        "tokens_per_second": BATCH * shape["target"] / median,
        "milliseconds_per_step": 1000 * median,
        "seconds_to_first_step": first,
    }
    print(json.dumps(figures))


def random_batch(shape: dict[str, int]) -> tuple[dict[str, tf.Tensor], tf.Tensor, tf.Tensor]:
    """Makes one batch without padding."""
    generator = np.random.default_rng(0)

    def ids(length: int) -> tf.Tensor:
        return tf.constant(generator.integers(4, shape["vocabulary"], (BATCH, length)), tf.int32)

    inputs = {
        "source": ids(shape["source"]),
        "source_length": tf.fill([BATCH], shape["source"]),
        "target": ids(shape["target"]),
    }
    return inputs, ids(shape["target"]), tf.ones((BATCH, shape["target"]))


if __name__ == "__main__":
    main(*sys.argv[1:])
