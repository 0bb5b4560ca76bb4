"""The saved config of a run that is resumed: with changes, or against the command's config."""

import inspect
from copy import deepcopy
from pathlib import Path
from typing import Any, cast

from omegaconf import DictConfig, OmegaConf

from seq2seq.config import check_top_level, composed, folder, locate, nodes, store_config
from seq2seq.errors import UserError
from seq2seq.naming import tags_of
from seq2seq.overrides import saved_hydra
from seq2seq.tracking.parameters import meaningful
from seq2seq.trust import Trust, load_saved
from seq2seq.yaml_files import load

MAY_CHANGE = (
    "trainer.epochs", "data.directory",
    "trainer.on_divergence", "trainer.loss_limit", "trainer.memory_limit",
)  # fmt: skip
"""The config keys that may differ when a run is resumed: more epochs, data that were moved, and
what to do with a step that cannot be done."""


def refuse_changes(
    run_folder: Path, earlier: DictConfig, config: DictConfig, changes: frozenset[str]
) -> None:
    """Raises a `UserError` if a config would give another result than that of the run."""
    earlier = _with_new_arguments(earlier, config)
    old, new = (
        meaningful(cast(dict[str, Any], OmegaConf.to_container(each, resolve=True)))
        for each in (earlier, config)
    )
    differing = [
        key
        for key in sorted(old.keys() | new.keys())
        if old.get(key) != new.get(key)
        and key not in MAY_CHANGE
        and not any(f"{key}.".startswith(f"{accepted}.") for accepted in changes)
    ]
    if differing:
        lines = [
            f"  {key}: {old.get(key, 'not set')} there, {new.get(key, 'not set')} now"
            for key in differing
        ]
        raise UserError(
            f"hydra.run.dir={run_folder}: holds a run with another config, which is not resumed:\n"
            + "\n".join(lines)
            + "\nChoose another folder, or resume it with the changes: "
            f"resume_changes=[{','.join(differing)}]"
        )


def saved_config(saved: Path, overrides: list[str], trust: Trust) -> DictConfig:
    """Returns the saved config of a run with more overrides."""
    config = load_saved(saved, trust, resolve=False)
    check_top_level(config)  # refuses `defaults`, which would change the composition
    if "hydra" in config:
        raise UserError(f"{saved}: hydra is not allowed in the config of a saved run")
    config = with_new_keys(config)
    groups = [o for o in overrides if (folder("conf") / o.partition("=")[0]).is_dir()]
    for override in groups:
        key = override.partition("=")[0].replace("/", ".")
        choice = OmegaConf.select(composed([override]), key)
        if choice is not None:  # model/attention=none sets nothing
            OmegaConf.update(config, key, choice, merge=False)
    store_config("resumed", config)
    values = [override for override in overrides if override not in groups]
    return composed([*values, "trainer.resume=true"], "resumed")


def saved_tags(saved: Path, config: DictConfig) -> dict[str, str]:
    """Returns the tags of a resumed run."""
    return tags_of(saved_hydra(saved.parent / "hydra.yaml", "runtime", "choices", dict), config)


def with_new_keys(config: DictConfig) -> DictConfig:
    """Adds the keys of `conf/train.yaml` that are newer than the run to its config."""
    train = load(folder("conf") / "train.yaml")
    defaults = {key: train[key] for key in map(str, train) if key not in ("defaults", "hydra")}
    return cast(DictConfig, OmegaConf.merge(defaults, config))


def _with_new_arguments(earlier: DictConfig, config: DictConfig) -> DictConfig:
    """Adds to an older config the arguments that its classes had not got yet.

    Those are the keys that it lacks, and that have the constructor's default in the new config.
    """
    completed = deepcopy(earlier)
    for path, node in nodes(config):
        own = OmegaConf.select(completed, path)
        if not isinstance(own, DictConfig) or own.get("_target_") != node["_target_"]:
            continue
        parameters = inspect.signature(locate(path, node)).parameters
        for key in map(str, node):
            if key not in own and key in parameters and node[key] == parameters[key].default:
                own[key] = node[key]
    return completed
