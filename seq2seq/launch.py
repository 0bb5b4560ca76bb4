"""`seq2seq train`: from the command line through Hydra to one run or a sweep of runs."""

import argparse
import errno
import functools
import os
import re
import shlex
import signal
import sys
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import cast

import hydra
from hydra.core.hydra_config import HydraConfig
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import IntervalSweep, Override
from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf, flag_override, open_dict

from seq2seq.config import (
    check_keys,
    check_top_level,
    composed,
    folder,
    recipe_names,
    register_recipe,
    store_config,
)
from seq2seq.errors import INTERRUPTED, USER_ERROR, UserError
from seq2seq.files import write_text
from seq2seq.naming import advice, tags_of
from seq2seq.run_folder import SAVED, claimed, claimed_new, remove_if_empty, write_config
from seq2seq.terminal import PlainConsole
from seq2seq.tracking.base import RUN_ID_FILE
from seq2seq.trust import Trust, check_config, check_trust, load_saved, plain_values
from seq2seq.yaml_files import load

Check = Callable[[DictConfig], object]
"""Raises UserError if a config names what is not trusted."""

LAUNCHER_OVERRIDE = re.compile(
    r"hydra/launcher=\w+|hydra\.sweep\.dir=[^$]*"
    r"|\+*hydra\.launcher\.(n_jobs|cpus_per_task|gpus_per_node|mem_gb|nodes|partition|tasks_per_node"
    r"|timeout_min|array_parallelism|submitit_folder)=[\w./-]+"
)
"""The overrides of Hydra's own config that a resumed sweep may have been started with."""

FULL_ERROR = "HYDRA_FULL_ERROR"

FULL_DISK = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EACCES, errno.EIO)

CRASHED = 1
"""The exit code of a sweep with a trial that failed through no mistake of the user."""


def launch(arguments: Sequence[str], debug: bool) -> int:
    """Starts or resumes a run or a sweep.

    Args:
        arguments: Hydra overrides and flags, and `resume=RUN`.
        debug: Whether errors show their stack trace.

    Returns:
        The exit code: 0, 2 if a run failed by a mistake of the user, 130 after Ctrl-C.

    Raises:
        UserError: If the arguments are wrong.
    """
    flags, overrides, trust = _parsed(arguments)
    _refuse_empty(overrides)
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    resumed = [a.removeprefix("resume=") for a in overrides if a.startswith("resume=")]
    if resumed:
        rest = [a for a in overrides if not a.startswith("resume=")]
        if (Path(resumed[-1]) / "sweep.json").is_file():
            return _resume_sweep(Path(resumed[-1]), flags, rest, debug, trust)
        return _resume(Path(resumed[-1]), flags, rest, debug, trust)
    if "--multirun" in flags:
        return _sweep(overrides, debug, trust)
    overrides = [_known_recipe(a) if a.startswith("recipe=") else a for a in overrides]
    named = any(o.key_or_group == "hydra.run.dir" for o in _checked(overrides))
    exit_codes: list[int] = []

    def job(config: DictConfig) -> None:
        exit_codes.append(_new_run(config, named, debug, trust))

    with _arguments_of_hydra(["seq2seq train", *flags, *overrides]):
        try:
            hydra.main(version_base="1.3", config_path=str(folder("conf")), config_name="train")(
                job
            )()
        except OSError as error:  # Hydra makes the run folder
            raise UserError(f"{error.filename}: cannot be made ({error.strerror})") from error
    return max(exit_codes, default=0)


@contextmanager
def _arguments_of_hydra(arguments: list[str]) -> Iterator[None]:
    """Makes Hydra read these arguments, and raise errors instead of printing them."""
    before, full = sys.argv, os.environ.get(FULL_ERROR)
    sys.argv, os.environ[FULL_ERROR] = arguments, "1"
    try:
        yield
    finally:
        sys.argv = before
        if full is None:
            del os.environ[FULL_ERROR]
        else:
            os.environ[FULL_ERROR] = full


def _new_run(config: DictConfig, named: bool, debug: bool, trust: Trust) -> int:
    """Runs one experiment in a new run folder."""
    settings = cast(DictConfig, HydraConfig.get())
    try:
        with claimed_new(Path(settings.runtime.output_dir), named) as run_folder:
            with open_dict(settings), flag_override(settings, "readonly", False):
                settings.runtime.output_dir = str(run_folder)
            write_config(run_folder, config, settings, settings.overrides.task)
            if sentence := advice(settings.runtime.choices):
                print(f"seq2seq: {sentence}", file=sys.stderr)
            tags = tags_of(settings.runtime.choices, config)
            return _run(config, run_folder, tags, debug, resumed=False, trust=trust)
    except UserError as error:
        return _print_error(error, debug)


def _sweep(
    arguments: list[str], debug: bool, trust: Trust, sweep_folder: Path | None = None
) -> int:
    """Runs the trials of a sweep, or the remaining ones."""
    from seq2seq.sweeps.run import run_sweep

    if not any(argument.startswith("sweep=") for argument in arguments):
        arguments = ["sweep=grid", *arguments]
    overrides = [_known_recipe(a) if a.startswith("recipe=") else a for a in arguments]
    check: Check | None = None
    if sweep_folder is not None:  # which may come from a stranger
        check = functools.partial(check_config, place=str(sweep_folder), trust=trust)
    job = functools.partial(_trial, debug=debug, trust=trust, check=check)
    parsed = _checked(overrides, check)
    return run_sweep(arguments, overrides, parsed, job, PlainConsole(stderr=True), sweep_folder)


def _resume_sweep(
    sweep_folder: Path, flags: list[str], overrides: list[str], debug: bool, trust: Trust
) -> int:
    """Resumes a sweep, on which another process may be working."""
    from seq2seq.sweeps.study import read_sweep

    for override in overrides:
        if not override.startswith(("sweep.", "hydra/launcher=", "hydra.launcher.")):
            raise UserError(
                f"resume={sweep_folder}: resumes a sweep as it was started; {override} does not "
                "fit, only sweep.trials=..., sweep.at_once=... and hydra/launcher=... do"
            )
    if flags:
        raise UserError(f"resume={sweep_folder}: resumes a sweep; leave out {flags[0]}")
    keys = {override.partition("=")[0] for override in overrides}
    saved = read_sweep(sweep_folder)["arguments"]
    unchanged = [argument for argument in saved if argument.partition("=")[0] not in keys]
    _refuse_commands(unchanged, sweep_folder, trust)
    return _sweep([*unchanged, *overrides], debug, trust, sweep_folder)


def _refuse_commands(arguments: list[str], sweep_folder: Path, trust: Trust) -> None:
    """Refuses saved overrides that make a launcher run commands, unless `hydra` is trusted."""
    for argument in arguments:
        changes_hydra = argument.lstrip("+~").startswith("hydra")
        if changes_hydra and not LAUNCHER_OVERRIDE.fullmatch(argument) and "hydra" not in trust:
            raise UserError(
                f"resume={sweep_folder}: the sweep was started with {argument}, which may run "
                "commands. If you trust it, say so: --trust hydra"
            )


def _trial(config: DictConfig, debug: bool, trust: Trust, check: Check | None) -> int:
    """Runs or resumes one trial of a sweep, in whatever process the launcher calls it."""
    if check is not None:
        check(config)
    settings = cast(DictConfig, HydraConfig.get())
    runtime, sweep = settings.runtime, settings.sweep
    run_folder, sweep_folder = Path(runtime.output_dir), Path(sweep.dir)
    write_config(run_folder, config, settings, settings.overrides.task)
    tags = {**tags_of(runtime.choices, config), "trial": str(sweep.subdir)}
    parent = sweep_folder / RUN_ID_FILE
    if parent.is_file():
        tags["mlflow.parentRunId"] = parent.read_text(encoding="utf-8").strip()
    with open_dict(config):
        config.trainer.resume = True
        if config.sweep.pruner is not None:
            config.trainer.callbacks.pruning = {
                "_target_": "seq2seq.sweeps.pruning.StopHopeless",
                "folder": str(sweep_folder),
                "trial": int(sweep.subdir),
                "monitor": config.trainer.monitor,
                "pruner": config.sweep.pruner,
            }
    try:
        return _run(config, run_folder, tags, debug, resumed=True, sweep=sweep_folder, trust=trust)
    except Exception as error:  # a failed trial does not end the sweep
        write_text(run_folder / "error.txt", traceback.format_exc())
        _print(f"seq2seq: error: {type(error).__name__}: {error} (see {run_folder}/error.txt)")
        return CRASHED


def _checked(overrides: list[str], check: Check | None = None) -> list[Override]:
    """Parses overrides, and composes every choice once to find mistakes before any run."""
    try:
        parsed = OverridesParser.create().parse_overrides(overrides)
    except HydraException as error:
        raise UserError(" ".join(str(error).split())) from error
    choices = [_examples(override, text) for override, text in zip(parsed, overrides, strict=True)]
    firsts = [texts[0] for texts in choices]
    for number, texts in enumerate(choices):
        for text in texts[number > 0 :]:  # the first of all is checked once
            composed([*firsts[:number], text, *firsts[number + 1 :]], check=check)
    if not choices:
        composed([], check=check)
    return parsed


def _refuse_empty(overrides: list[str]) -> None:
    """Refuses empty keys and folders, as an unset shell variable leaves them."""
    for override in overrides:
        key, sign, value = override.partition("=")
        if not key.strip():
            raise UserError(f"{override!r}: must be key=value, such as seed=1")
        if sign and key in ("resume", "hydra.run.dir", "hydra.sweep.dir") and not value:
            raise UserError(f"{override}: names no folder")


def _examples(override: Override, text: str) -> list[str]:
    """Returns overrides for single runs that cover the values of a sweep."""
    if not override.is_sweep_override():
        return [text]
    value, key = override.value(), override.get_key_element()
    if isinstance(value, IntervalSweep):
        return [f"{key}={value.start}", f"{key}={value.end}"]
    return [f"{key}={choice}" for choice in override.sweep_string_iterator()]


def _parsed(arguments: Sequence[str]) -> tuple[list[str], list[str], list[str]]:
    """Returns Hydra's flags, the overrides, and the names given with `--trust`."""
    parser = argparse.ArgumentParser(add_help=False, exit_on_error=False, allow_abbrev=False)
    parser.add_argument("--multirun", "-m", action="store_true")
    parser.add_argument("--cfg", "-c", choices=("job", "hydra", "all"))
    parser.add_argument("--resolve", action="store_true")
    parser.add_argument("--trust", action="append", default=[])
    parser.add_argument("overrides", nargs="*")
    try:
        known, unknown = parser.parse_known_intermixed_args(arguments)
    except argparse.ArgumentError as error:
        raise UserError(f"{error}. `seq2seq train --help` shows the usage.") from error
    if unknown:
        raise UserError(f"{unknown[0]}: no such flag. `seq2seq train --help` shows the usage.")
    if known.multirun and known.cfg:
        raise UserError("--cfg prints the config of one run; leave out --multirun")
    flags = ["--multirun"] * known.multirun + ["--resolve"] * known.resolve
    check_trust(known.trust)
    return [*flags, *(["--cfg", known.cfg] if known.cfg else [])], known.overrides, known.trust


def _known_recipe(argument: str) -> str:
    names = recipe_names(argument.removeprefix("recipe="))
    return "recipe=" + ",".join(register_recipe(name) for name in names)


def _resume(
    run_folder: Path, flags: list[str], overrides: list[str], debug: bool, trust: Trust
) -> int:
    """Resumes a run from its saved config with more overrides."""
    saved = run_folder / SAVED / "config.yaml"
    if not saved.is_file():
        raise UserError(f"resume={run_folder}: not a run folder, it has no .hydra/config.yaml")
    if flags:
        raise UserError(f"resume={run_folder}: resumes one run; {flags[0]} does not fit")
    with claimed(run_folder):
        config = _saved_config(saved, overrides, trust)
        tags = _saved_tags(saved, config)
        write_text(saved, OmegaConf.to_yaml(config))
        return _run(config, run_folder, tags, debug, resumed=True, trust=trust)


def _saved_config(saved: Path, overrides: list[str], trust: Trust) -> DictConfig:
    """Returns the saved config of a run with more overrides."""
    config = load_saved(saved, trust, resolve=False)
    check_top_level(config)  # refuses `defaults`, which would change the composition
    if "hydra" in config:
        raise UserError(f"{saved}: hydra has no place in what a run saved")
    config = _with_new_keys(config)
    groups = [o for o in overrides if (folder("conf") / o.partition("=")[0]).is_dir()]
    for override in groups:
        key = override.partition("=")[0].replace("/", ".")
        choice = OmegaConf.select(composed([override]), key)
        if choice is not None:  # model/attention=none sets nothing
            OmegaConf.update(config, key, choice, merge=False)
    store_config("resumed", config)
    rest = [o for o in overrides if o not in groups]
    return composed([*rest, "trainer.resume=true"], "resumed")


def _saved_tags(saved: Path, config: DictConfig) -> dict[str, str]:
    """Returns the tags of a resumed run; raises UserError if its `hydra.yaml` is damaged."""
    path = saved.parent / "hydra.yaml"
    choices: object = plain_values(load(path))
    for key in ("hydra", "runtime", "choices"):
        choices = choices.get(key) if isinstance(choices, Mapping) else None
    if not isinstance(choices, Mapping):
        raise UserError(f"{path}: is damaged, it has no hydra.runtime.choices; copy it again")
    return tags_of(choices, config)


def _with_new_keys(config: DictConfig) -> DictConfig:
    """Adds the defaults of keys that an older run does not have to its config."""
    train = load(folder("conf") / "train.yaml")
    known = {key: train[key] for key in map(str, train) if key not in ("defaults", "hydra")}
    return cast(DictConfig, OmegaConf.merge(known, config))


def _run(
    config: DictConfig,
    run_folder: Path,
    tags: dict[str, str],
    debug: bool,
    resumed: bool,
    sweep: Path | None = None,
    trust: Trust = (),
) -> int:
    """Runs one experiment, prints how it ended, and returns the exit code."""
    from seq2seq.experiment import run
    from seq2seq.training.stop_on_signal import TrainingInterrupted

    try:
        check_keys(config)
        run(config, run_folder, tags, PlainConsole(stderr=True), trust)
        return 0
    except UserError as error:
        code = _print_error(error, debug)
    except OSError as error:
        if error.errno not in FULL_DISK:
            raise
        place = error.filename or run_folder
        reason = f"{place}: cannot be written or read ({error.strerror}). Make room, or give access"
        code = _print_error(UserError(reason), debug)
    except (TrainingInterrupted, KeyboardInterrupt):
        _print("Stopped.")
        code = INTERRUPTED
    if (run_folder / "checkpoints" / "last.weights.h5").exists():
        place = _quoted(sweep or run_folder)
        _print(f"The last checkpoint is saved; resume with\n  seq2seq train resume={place}")
    elif not resumed:
        remove_if_empty(run_folder)
    return code


def _print_error(error: UserError, debug: bool) -> int:
    if debug:
        traceback.print_exc()
    _print(f"seq2seq: error: {error}")
    return USER_ERROR


def _print(text: str) -> None:
    PlainConsole(stderr=True).print(text, markup=False, highlight=False, soft_wrap=True)


def _quoted(run_folder: Path) -> str:
    return shlex.quote(str(run_folder))
