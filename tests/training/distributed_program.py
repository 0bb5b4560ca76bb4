"""Trains a few steps of each task with the workers of `TF_CONFIG`, and saves all variables.

Usage: python distributed_program.py FOLDER SHARDS TASK ...

One worker trains them again, with the shards divided among two logical processors.
"""

import sys
from itertools import islice
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf

from seq2seq.commands._start_tensorflow import start_tensorflow
from seq2seq.config import composed
from seq2seq.experiment import build_experiment, fit, seed_everything
from seq2seq.ops.dispatch import disable_inter_op_parallelism
from seq2seq.overrides import with_registered_recipes
from seq2seq.training.workers import Mirrored, MultiWorker

STEPS = 4

TASKS = {
    "translation": (
        "recipe=translation/cldr_dates", "model/attention=luong", "optimizer=adamw",
        "model.encoder.units=12", "model.decoder.units=24", "model.embedding_dim=16",
        "model.encoder.dropout=0.2", "model.output_dropout=0.3", "trainer.averaging=0.9",
        "trainer.accumulate=2",
    ),
    "tagging": (
        "recipe=tagging/cldr_dates", "model.output=crf", "model.locked_dropout=0.2",
        "model.encoder.units=8",
    ),
    "classification": ("recipe=classification/cldr_languages", "model.encoder.units=8"),
    "generation": (
        "recipe=generation/own_data", "data.files.train=text.txt", "model.stack.units=12",
        "batching.batch_size=7", "batching.length=8",
    ),
    "forecasting": ("recipe=forecasting/co2", "batching.batch_size=5", "model.encoder.units=8"),
}  # fmt: skip
"""The overrides of each task."""

ROUNDED = ("tagging", "forecasting")
"""The tasks whose gradients are sent as bfloat16."""


class Snapshot(keras.callbacks.Callback):
    """Keeps the variables of the end of the training."""

    def on_epoch_end(self, epoch, logs=None):
        variables = [*self.model.variables, *self.model.optimizer.variables]
        self.arrays = {f"{number} {v.path}": np.asarray(v) for number, v in enumerate(variables)}


def train(name, folder, workers):
    """Trains two short epochs; returns the variables, and the metrics of the epochs."""
    overrides = map(with_registered_recipes, TASKS[name])
    config = composed([*overrides, "trainer.epochs=2", "tracking=none"])
    seed_everything(config.seed)
    keras.utils.clear_session()
    experiment = build_experiment(config, folder, workers=workers)
    task, snapshot = experiment.task, Snapshot()
    plan, batches = task.batch_order.plan, task.batches
    count = STEPS * config.trainer.accumulate - 1  # the last step may have fewer batches
    task.batch_order.plan = lambda epoch: list(islice(plan(epoch), count))
    task.batch_order.begin(0, 0)
    task.batches = lambda split: batches(split).take(1)
    experiment.trainer.callbacks["snapshot"] = snapshot
    progress = fit(experiment, folder / name / str(workers.index))
    history = [list(epoch.values()) for epoch in progress.history]
    return snapshot.arrays | {"history": np.array(history)}


def main():
    folder, shards, *names = sys.argv[1:]
    start_tensorflow()
    disable_inter_op_parallelism()
    workers = MultiWorker(int(shards))
    kinds = {str(workers.count): workers}
    if workers.count == 1:
        kinds["devices"] = mirrored(int(shards))
    for kind, each in kinds.items():
        each.connect()
        for name in names:
            each.gradients = "bfloat16" if name in ROUNDED else "float32"
            arrays = train(name, Path(folder) / kind, each)
            np.savez(Path(folder) / f"{name}_{kind}_{each.index}.npz", **arrays)


def mirrored(shards):
    """Divides the processor into two devices, and returns the workers that use them."""
    logical = [tf.config.LogicalDeviceConfiguration()] * 2
    [processor] = tf.config.list_physical_devices("CPU")
    tf.config.set_logical_device_configuration(processor, logical)
    return Mirrored(["CPU:0", "CPU:1"], shards)


if __name__ == "__main__":
    main()
