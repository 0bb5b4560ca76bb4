"""The learning rate range test of a recipe."""

import math
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import keras
from omegaconf import DictConfig

from seq2seq.errors import UserError
from seq2seq.experiment import Experiment, build_experiment, seed_everything
from seq2seq.ops.compile import compiled_in_background
from seq2seq.progress import step
from seq2seq.tasks.base import Task
from seq2seq.tasks.model_folder import precision
from seq2seq.training.masked_loss_model import Batch
from seq2seq.training.range_test import RangeTest, range_test
from seq2seq.training.workers import ALONE


def rate_test(config: DictConfig, steps: int, lowest: float, highest: float) -> RangeTest:
    """Trains the model of a config for some steps, see `range_test`; nothing is written.

    Raises:
        UserError: If the config or the data cannot be used.
    """
    if isinstance(config.optimizer.get("learning_rate"), DictConfig):
        raise UserError("optimizer.learning_rate: is a schedule; this test has rates of its own")
    seed_everything(config.seed)
    keras.utils.clear_session()
    with (
        TemporaryDirectory(prefix="seq2seq-rates-") as folder,
        compiled_in_background(),
        precision(config.precision),
    ):
        experiment = build_experiment(config, Path(folder))
        with step("training with rising rates"):
            return _tested(experiment, steps, lowest, highest)


def _tested(experiment: Experiment, steps: int, lowest: float, highest: float) -> RangeTest:
    task, optimizer = experiment.task, experiment.optimizer
    model = experiment.trainer.compiled(experiment.model.loss_model, task, optimizer, ALONE)
    train_step, epochs = model.make_train_function(), _endless(task)

    def one_step(rate: float) -> float:
        optimizer.learning_rate = rate
        train_step(next(epochs))
        return float(model.checked.loss) if bool(model.checked.is_applied) else math.inf

    return range_test(one_step, steps, lowest, highest)


def _endless(task: Task) -> Iterator[Iterator[Batch]]:
    """Yields, for each step, the iterator over the batches of its epoch."""
    epoch = 0
    while True:
        task.batch_order.begin(epoch, first_step=0)
        batches = iter(task.training_data())
        for _ in range(len(task.batch_order)):
            yield batches
        epoch += 1
