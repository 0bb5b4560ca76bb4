import inspect
from pathlib import Path

import pytest
import yaml
from hydra.utils import get_class, instantiate

CONFIGS = sorted((Path(__file__).parents[2] / "conf" / "tracking").glob("*.yaml"))


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.stem)
def test_a_config_spells_out_all_arguments_and_their_defaults(path):
    config = yaml.safe_load(path.read_text())
    tracker = instantiate(config)
    parameters = inspect.signature(get_class(config.pop("_target_"))).parameters
    defaults = {name: each.default or {} if name == "tags" else each.default
                for name, each in parameters.items()}  # fmt: skip
    assert config == defaults
    assert hasattr(tracker, "log_metrics")
