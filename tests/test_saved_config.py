"""The config of a run that is started again, against that of the command."""

from pathlib import Path

import pytest
from omegaconf import OmegaConf

from seq2seq.config import composed, register_recipe
from seq2seq.errors import UserError
from seq2seq.saved_config import refuse_changes


@pytest.fixture
def config():
    return composed([f"recipe={register_recipe('translation/cldr_dates')}"])


def without(config, *keys):
    """Returns the config as an older version wrote it, whose classes had no such arguments."""
    older = OmegaConf.create(OmegaConf.to_container(config))
    for key in keys:
        node, _, name = key.rpartition(".")
        del OmegaConf.select(older, node)[name]
    return older


def test_arguments_that_are_newer_than_the_run_have_their_default(config):
    older = without(config, "batching.curriculum_epochs", "trainer.swa_start", "trainer.accumulate")
    refuse_changes(Path("run"), older, config, frozenset())


@pytest.mark.parametrize("value", [1, 2])
def test_another_value_of_a_newer_argument_is_refused(config, value):
    older = without(config, "batching.curriculum_epochs")
    config.batching.curriculum_epochs = value
    with pytest.raises(UserError, match=f"curriculum_epochs: not set there, {value} now"):
        refuse_changes(Path("run"), older, config, frozenset())
