"""A training of some steps that writes nothing, to measure how a recipe trains."""

import math
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import keras
from omegaconf import DictConfig

from seq2seq.experiment import Experiment, build_experiment, seed_everything
from seq2seq.ops.compile import compiled_in_background
from seq2seq.tasks.base import Task
from seq2seq.tasks.model_folder import precision
from seq2seq.training.masked_loss_model import Batch
from seq2seq.training.workers import ALONE


class ShortTraining:
    """The model of an experiment, trained step by step.

    Attributes:
        experiment: Its parts.
        model: The compiled model.
        labels: The labels that `step` has trained on, without padding.
    """

    def __init__(self, experiment: Experiment) -> None:
        self.experiment = experiment
        task, optimizer = experiment.task, experiment.optimizer
        self.model = experiment.trainer.compiled(
            experiment.model.loss_model, task, optimizer, ALONE
        )
        self._train_step = self.model.make_train_function()
        self._steps = _steps(task)
        self.labels = 0

    def step(self) -> float:
        """Trains on the next batch; returns its loss, infinite if the step was not applied."""
        batches, labels = next(self._steps)
        self.labels += labels
        return self.step_on(batches)

    def step_on(self, batches: Iterator[Batch]) -> float:
        """Trains on the next of some batches; see `step`."""
        self._train_step(batches)
        checked = self.model.checked
        return float(checked.loss) if bool(checked.is_applied) else math.inf


def _steps(task: Task) -> Iterator[tuple[Iterator[Batch], int]]:
    """Yields, for each step, the iterator over the batches of its epoch, and its labels."""
    epoch, order = 0, task.batch_order
    while True:
        order.begin(epoch, first_step=0)
        batches = iter(task.training_data())
        for number in range(len(order)):
            yield batches, order.step_tokens(number)
        epoch += 1


@contextmanager
def short_training(config: DictConfig) -> Iterator[ShortTraining]:
    """Builds the training of a config; what it writes is removed at the end.

    Raises:
        UserError: If the config or the data cannot be used.
    """
    seed_everything(config.seed)
    keras.utils.clear_session()
    with (
        TemporaryDirectory(prefix="seq2seq-short-") as folder,
        compiled_in_background(),
        precision(config.precision),
    ):
        yield ShortTraining(build_experiment(config, Path(folder)))
