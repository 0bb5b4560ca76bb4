"""Tagging: sentences a second beside a plain PyTorch BiLSTM-CRF, and what a CRF costs a step."""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from benchmarks.environments import torch_python, tuned
from benchmarks.files import about_machine, load_before, write
from benchmarks.harness import ROOT
from seq2seq.config import build, composed
from seq2seq.data.batching import Batching
from seq2seq.models.tagger import Tagger
from seq2seq.tasks.prediction_options import PredictionOptions
from seq2seq.tasks.tagging import Tagging
from seq2seq.training.masked_loss_model import compile_model
from seq2seq.training.optimizers import Adam

SENTENCES = 2000
BATCH_SIZE = 64
SIZES = {
    "labels": 30,
    "embedding": 100,
    "character_embedding": 32,
    "character_units": 50,
    "units": 128,
}
OVERRIDES = (
    "task=tagging",
    "tokenizer=tokens",
    "tokenizer.casing=false",
    "model=tagger",
    "~decoding",
    f"model.embedding_dim={SIZES['embedding']}",
    f"model.character_features.embedding_dim={SIZES['character_embedding']}",
    f"model.character_features.units={SIZES['character_units']}",
    f"model.encoder.units={SIZES['units']}",
)


def main(arguments: argparse.Namespace) -> None:
    """Measures both programs in turn, and training steps with and without a CRF."""
    load = load_before()
    sentences = made_up(SENTENCES)
    task, model = tagger(sentences, "crf")
    records = [{"tokens": tokens} for tokens in sentences]
    options = PredictionOptions(batch_size=BATCH_SIZE)
    task.predict(model, records[:BATCH_SIZE], options)
    found: dict[str, list[float]] = {"seq2seq": [], "torch": []}
    for number in range(1, arguments.rounds + 1):
        start = time.perf_counter()
        task.predict(model, records, options)
        found["seq2seq"].append(SENTENCES / (time.perf_counter() - start))
        found["torch"].append(torch_speed(sentences))
        for name, speeds in found.items():
            print(f"round {number}: {name} {speeds[-1]:,.0f} sentences/s", file=sys.stderr)
    cost = crf_cost(sentences, arguments.rounds, arguments.steps)
    about = about_machine(load_before=load, rounds=arguments.rounds, steps=arguments.steps)
    content = {"sizes": SIZES, "sentences_per_second": found, "crf_step": cost}
    write(arguments.results / "tagging", {**about, **content})
    print("| program | sentences/s | of the rounds |\n|---|---|---|")
    for name, speeds in found.items():
        print(f"| {name} | {with_range(speeds, ',.0f', ' | ')} |")
    ratios = [ours / theirs for ours, theirs in zip(found["seq2seq"], found["torch"], strict=True)]
    print(f"\n{with_range(ratios, '.2f')} times as fast as PyTorch (goal: 2)")
    print(
        f"training step: {statistics.median(cost['softmax']):.1f} ms with softmax, "
        f"{statistics.median(cost['crf']):.1f} ms with a CRF, "
        f"{with_range(cost['ratios'], '.2f')} times (goal: at most 1.30)"
    )


def with_range(values: Sequence[float], form: str, between: str = " ") -> str:
    """Returns the median of some values with the lowest and the highest of them."""
    median, low, high = (f"{f(values):{form}}" for f in (statistics.median, min, max))
    return f"{median}{between}({low} to {high})"


def made_up(count: int, seed: int = 0) -> list[list[str]]:
    """Returns sentences of 5 to 45 words, which are as frequent as Zipf says."""
    random = np.random.default_rng(seed)
    letters = np.array(list("abcdefghijklmnopqrstuvwxyz"))
    words = ["".join(random.choice(letters, size)) for size in random.integers(2, 12, 8000)]
    shares = 1 / np.arange(1, len(words) + 1)
    return [
        random.choice(words, length, p=shares / shares.sum()).tolist()
        for length in random.integers(5, 46, count)
    ]


def tagger(sentences: list[list[str]], output: str) -> tuple[Tagging, Tagger]:
    """Returns a task that knows the words of sentences, and a model with random weights."""
    config = composed([*OVERRIDES, f"model.output={output}"])
    batching = Batching(batch_size=BATCH_SIZE)
    task = Tagging(build(config, "tokenizer"), batching)
    task.tokenizer.fit([{"tokens": tokens} for tokens in sentences])
    names = [f"label {number}" for number in range(SIZES["labels"])]
    task.labels.fit(Counter(names))
    keras.utils.set_random_seed(1)
    return task, build(config, "model", **task.model_arguments())


def torch_speed(sentences: list[list[str]]) -> float:
    """Runs PyTorch's program in its own process, and returns its sentences a second."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "job.json")
        job = {"sentences": sentences, "batch_size": BATCH_SIZE, "sizes": SIZES}
        path.write_text(json.dumps(job), encoding="utf-8")
        done = subprocess.run(
            [str(torch_python()), "-m", "benchmarks.programs.torch_tagger", str(path)],
            cwd=ROOT,
            env={**os.environ, **tuned()},
            capture_output=True,
            encoding="utf-8",
            check=False,
        )
    if done.returncode:
        raise RuntimeError(f"PyTorch's tagger failed:\n{done.stderr}")
    return float(json.loads(done.stdout.splitlines()[-1])["sentences_per_second"])


def crf_cost(sentences: list[list[str]], rounds: int, steps: int) -> dict[str, list[float]]:
    """Times training steps of the same tagger with both outputs, in turn.

    Returns:
        The milliseconds of a step with `softmax` and `crf`, medians of the steps of each round; and
        their `ratios`.
    """
    trained = {output: step(sentences, output) for output in ("softmax", "crf")}
    for train in trained.values():
        for _ in range(3):  # the first traces the graph
            train()
    found: dict[str, list[float]] = {"softmax": [], "crf": [], "ratios": []}
    for _ in range(rounds):
        taken: dict[str, list[float]] = {output: [] for output in trained}
        for _ in range(steps):
            for output, train in trained.items():
                start = time.perf_counter()
                train()
                taken[output].append(1000 * (time.perf_counter() - start))
        medians = {output: statistics.median(times) for output, times in taken.items()}
        for output, median in medians.items():
            found[output].append(median)
        found["ratios"].append(medians["crf"] / medians["softmax"])
    return found


def step(sentences: list[list[str]], output: str) -> Callable[[], Any]:
    """Returns a training step on a batch of 64 sentences of 20 to 40 words."""
    chosen = [tokens for tokens in sentences if 20 <= len(tokens) <= 40][:BATCH_SIZE]
    task, model = tagger(sentences, output)
    columns = {
        name: spec.encoder.encode(chosen) for name, spec in task.tokenizer.store_columns().items()
    }
    inputs = task.tokenizer.inputs(lambda name: padded(columns[name]))
    shape = inputs["words"].shape
    labels = np.random.default_rng(1).integers(0, SIZES["labels"], shape)
    weights = (np.arange(shape[1]) < inputs["length"][:, None]).astype(np.float32)
    trained = compile_model(model.loss_model, task.loss, Adam(1e-3))
    batch = tf.nest.map_structure(tf.constant, (inputs, labels.astype(np.int32), weights))
    train = tf.function(trained.train_step, autograph=False)

    def run() -> None:
        train(batch)["loss"].numpy()  # which waits for it

    return run


def padded(rows: Sequence[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """Returns rows as one array, and their lengths."""
    lengths = np.array([len(row) for row in rows], np.int32)
    together = np.zeros((len(rows), lengths.max()), np.int32)
    for number, row in enumerate(rows):
        together[number, : len(row)] = row
    return together, lengths
