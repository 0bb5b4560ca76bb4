"""Times a training step of our LSTM beside one of Keras': `python -m seq2seq.speed_check`."""

import json
import statistics
import time
from collections.abc import Callable
from typing import Any

BATCH, STEPS, UNITS = 32, 32, 256
ROUNDS, SECONDS_A_ROUND = 5, 0.5


def main() -> None:
    """Prints one line of JSON: the milliseconds of a step by `seq2seq` and by `keras`."""
    import keras

    from seq2seq.layers.recurrent import LSTM

    steps = {
        "seq2seq": training_step(LSTM(UNITS)),
        "keras": training_step(keras.layers.LSTM(UNITS)),
    }
    times: dict[str, list[float]] = {name: [] for name in steps}
    for _ in range(ROUNDS):  # in turn, as other programs may take the processor for a while
        for name, step in steps.items():
            times[name].append(milliseconds(step))
    print(json.dumps({name: statistics.median(values) for name, values in times.items()}))


def training_step(layer: Any) -> Callable[[], object]:
    """Returns a function that computes the gradients of a layer's weights and inputs."""
    import tensorflow as tf

    inputs = tf.random.stateless_normal((BATCH, STEPS, UNITS), seed=(1, 2))

    @tf.function
    def step() -> list[tf.Tensor]:
        with tf.GradientTape() as tape:
            tape.watch(inputs)
            loss = tf.reduce_mean(tf.square(layer(inputs, training=True)))
        return tape.gradient(loss, [inputs, *layer.trainable_weights])

    step()  # builds the layer and traces the graph
    return step


def milliseconds(step: Callable[[], object]) -> float:
    """Returns the mean time of the calls of a round."""
    calls, begun = 0, time.perf_counter()
    while time.perf_counter() - begun < SECONDS_A_ROUND:
        step()
        calls += 1
    return 1000 * (time.perf_counter() - begun) / calls


if __name__ == "__main__":
    main()
