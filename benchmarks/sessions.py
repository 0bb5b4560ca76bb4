"""Sessions of many sources beside a stateful Keras model called source by source; resets."""

import argparse
import resource
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.files import about_machine, load_before, write
from benchmarks.works import WORKS

WORK = WORKS["G"]
LAYERS = (1, 2, 4, 8)
CALLS = 200
"""Calls of the Keras model that are timed; each takes one token of one source."""


def main(arguments: argparse.Namespace) -> None:
    """Measures tokens a second, memory and resets."""
    import keras

    load = load_before()
    keras.utils.set_random_seed(1)
    found = {
        "sessions": sessions(arguments.sources, arguments.steps),
        "keras": stateful_keras(),
        "reset": [resets(layers) for layers in LAYERS],
    }
    best = max(found["keras"].values())
    found["times_keras"] = found["sessions"]["tokens_per_second"] / best
    about = about_machine(load_before=load, steps=arguments.steps, work=vars(WORK))
    write(arguments.results / "sessions", {**about, **found})
    print(table(found))


def sessions(sources: int, steps: int) -> dict[str, float]:
    """Feeds one token to every source, again and again.

    Args:
        sources: How many are open.
        steps: How many times all are fed.
    """
    session = opened(1)
    names = [f"source {number}" for number in range(sources)]
    generator = np.random.default_rng(0)

    def feed() -> None:
        tokens = generator.integers(4, WORK.vocabulary, (sources, 1))
        session.feed(dict(zip(names, tokens, strict=True)))

    session.feed({"warm": [4]})
    before = resident_mib()
    feed()
    memory = resident_mib() - before
    seconds = statistics.median(timed(feed) for _ in range(steps))
    return {
        "sources": sources,
        "tokens_per_second": sources / seconds,
        "state_bytes_a_source": sum(
            value.nbytes for layer in session.state(names[0]) for value in layer.values()
        ),
        "resident_bytes_a_source": memory * 2**20 / sources,
    }


def stateful_keras() -> dict[str, float]:
    """Returns the tokens a second of stock Keras with a batch of one, called source by source.

    `own_state` is its speed on a single source. `set_state` is what many sources need: the state of
    each is put into the layer before the call, and taken out of it after.
    """
    import keras

    model = stock(1)
    lstm = next(layer for layer in model.layers if isinstance(layer, keras.layers.LSTM))
    token = np.array([[5]], np.int32)
    states = [np.zeros((CALLS, 1, WORK.units), np.float32) for _ in lstm.states]

    def call(_: int) -> None:
        model.predict_on_batch(token)

    def call_with_state(source: int) -> None:
        for variable, values in zip(lstm.states, states, strict=True):
            variable.assign(values[source])
        model.predict_on_batch(token)
        for variable, values in zip(lstm.states, states, strict=True):
            values[source] = variable.numpy()

    found = {}
    for name, one in {"own_state": call, "set_state": call_with_state}.items():
        one(0)
        found[name] = CALLS / timed(lambda one=one: [one(n) for n in range(CALLS)])
    return found


def resets(layers: int, sources: int = 1000) -> dict[str, float]:
    """Returns the microseconds that it takes to let a source start anew.

    A stateful Keras model resets all rows of its batch, here one.
    """
    session, model = opened(layers), stock(layers)
    names = [f"source {number}" for number in range(sources)]
    session.feed({name: [4] for name in names})

    def keras_reset() -> None:
        for layer in model.layers:
            if getattr(layer, "stateful", False):
                layer.reset_state()

    def session_reset() -> None:
        session.reset(names)

    return {
        "layers": layers,
        "session": 1e6 * often(session_reset) / sources,
        "keras": 1e6 * often(keras_reset),
    }


def opened(layers: int) -> Any:
    """Returns a session with an untrained model of so many layers."""
    from seq2seq.inference.sessions import Session
    from seq2seq.models.language_model import LanguageModel
    from seq2seq.models.stack import RecurrentStack

    stack = RecurrentStack(units=WORK.units, layers=layers)
    return Session(LanguageModel(WORK.vocabulary, 1, stack, WORK.embedding).step_model)


def stock(layers: int) -> Any:
    """Returns the same model of stock Keras' layers, with the state of one row."""
    import keras

    inputs = keras.Input(batch_shape=(1, None), dtype="int32")
    outputs = keras.layers.Embedding(WORK.vocabulary, WORK.embedding)(inputs)
    for _ in range(layers):
        outputs = keras.layers.LSTM(WORK.units, return_sequences=True, stateful=True)(outputs)
    return keras.Model(inputs, keras.layers.Dense(WORK.outputs)(outputs))


def timed(run: Callable[[], Any]) -> float:
    """Returns the seconds of one call."""
    start = time.perf_counter()
    run()
    return time.perf_counter() - start


def often(run: Callable[[], Any], times: int = 20) -> float:
    """Returns the median seconds of a call, after a first one that does not count."""
    run()
    return statistics.median(timed(run) for _ in range(times))


def resident_mib() -> float:
    """Returns the memory that this process has now."""
    pages = int(Path("/proc/self/statm").read_text(encoding="utf-8").split()[1])
    return pages * resource.getpagesize() / 2**20


def table(found: dict[str, Any]) -> str:
    """Returns all figures in Markdown."""
    ours, keras = found["sessions"], found["keras"]
    lines = [
        "| | tokens/s |",
        "|---|---|",
        f"| Session, {ours['sources']:,} sources in one process "
        f"| {ours['tokens_per_second']:,.0f} |",
        f"| stateful Keras, a call for each source, states set | {keras['set_state']:,.0f} |",
        f"| stateful Keras, a call for each token of one source | {keras['own_state']:,.0f} |",
        "",
        f"{found['times_keras']:.0f} times the faster; {ours['state_bytes_a_source']:,.0f} bytes "
        f"of state a source, {ours['resident_bytes_a_source']:,.0f} of memory in all.",
        "",
        "| layers | Session, us to reset a source | stateful Keras, us |",
        "|---|---|---|",
        *(f"| {r['layers']} | {r['session']:.2f} | {r['keras']:,.0f} |" for r in found["reset"]),
    ]
    return "\n".join(lines)
