"""Trains as a worker that is not the chief: without a run folder of its own."""

from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from omegaconf import DictConfig, open_dict

from seq2seq.cluster import cluster
from seq2seq.config import build_as, composed
from seq2seq.overrides import Resume, with_initial_run, with_registered_recipes
from seq2seq.progress import step
from seq2seq.run_folder import SAVED
from seq2seq.saved_config import saved_config
from seq2seq.terminal import PlainConsole
from seq2seq.trust import Trust

if TYPE_CHECKING:
    from seq2seq.training.workers import Workers


def follow(resume: Resume, overrides: Sequence[str], trust: Trust) -> bool:
    """Trains with the chief, if this process is another worker of a distributed training.

    The state of the training comes from the chief. Only with `resume=RUN`, the config is read from
    the run folder.

    Args:
        resume: What the command line says of resuming.
        overrides: The other overrides.
        trust: Modules and classes of one's own that saved configs may name.

    Returns:
        Whether it is such a worker. If not, nothing was done.

    Raises:
        UserError: If the config, the data or the machine cannot be used, or the chief has ended.
        TrainingInterrupted: If the workers were stopped.
    """
    if not cluster().index:
        return False
    if resume.folder is None:
        named = map(with_registered_recipes, with_initial_run(list(overrides), trust))
        config = composed([item for item in named if not item.startswith("hydra.")])
    else:
        config = saved_config(resume.folder / SAVED / "config.yaml", list(overrides), trust)
    if not is_distributed(config):
        return False
    with step("loading the libraries"):
        from seq2seq.experiment import run
    config.tracking = {"_target_": "seq2seq.tracking.base.NoTracker"}
    with TemporaryDirectory(prefix="seq2seq-worker-") as folder:
        run(config, Path(folder), {}, PlainConsole(stderr=True), trust)
    return True


def is_distributed(config: DictConfig) -> bool:
    """Returns whether several processes may train a run together."""
    return "distribute" in config and not _workers(config).are_one_process


def with_shards(config: DictConfig, earlier: DictConfig | None = None) -> None:
    """Sets `distribute.shards`, if it is null, to that of the earlier config, or to the workers.

    It is saved with the run, and so the same for any number of workers that resume it.
    """
    distribute = config.get("distribute") or {}
    if distribute.get("shards", 1) is None:
        saved = None if earlier is None else (earlier.get("distribute") or {}).get("shards")
        with open_dict(config):
            config.distribute.shards = saved or _workers(config).shards


def _workers(config: DictConfig) -> "Workers":
    with step("loading the libraries"):
        from seq2seq.training.workers import Workers
    return build_as(config, "distribute", Workers)
