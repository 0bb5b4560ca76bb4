"""The learning rate range test of a recipe."""

from omegaconf import DictConfig

from seq2seq.errors import UserError
from seq2seq.progress import step
from seq2seq.short_training import short_training
from seq2seq.training.range_test import RangeTest, range_test


def rate_test(config: DictConfig, steps: int, lowest: float, highest: float) -> RangeTest:
    """Trains the model of a config for some steps, see `range_test`; nothing is written.

    Raises:
        UserError: If the config or the data cannot be used.
    """
    if isinstance(config.optimizer.get("learning_rate"), DictConfig):
        raise UserError("optimizer.learning_rate: is a schedule; this test has rates of its own")
    with short_training(config) as training, step("training with rising rates"):

        def one_step(rate: float) -> float:
            training.experiment.optimizer.learning_rate = rate
            return training.step()

        return range_test(one_step, steps, lowest, highest)
