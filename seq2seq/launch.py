"""`seq2seq train`: composes the config with Hydra, and starts or resumes a run or a sweep."""

import errno
import functools
import os
import re
import shlex
import signal
import sys
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from types import FrameType
from typing import cast

import hydra
from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig, OmegaConf, flag_override, open_dict

from seq2seq.config import check_keys, check_top_level, composed, folder, own_recipe
from seq2seq.errors import Stopped, UserError, exit_code_of
from seq2seq.files import write_text
from seq2seq.follower import follow, with_shards
from seq2seq.naming import advice, tags_of
from seq2seq.overrides import (
    Check,
    Resume,
    parse_overrides,
    refuse_empty_values,
    split_resume,
    trials_of,
    with_initial_run,
    with_registered_recipes,
)
from seq2seq.progress import set_verbosity, step, verbosity
from seq2seq.run_folder import (
    SAVED,
    checkpoint_paths,
    claimed,
    claimed_new,
    remove_if_empty,
    write_config,
)
from seq2seq.saved_config import refuse_changes, saved_config, saved_tags, with_new_keys
from seq2seq.terminal import PlainConsole
from seq2seq.tracking.base import RUN_ID_FILE
from seq2seq.trust import Trust, check_config, check_trust, load_saved
from seq2seq.yaml_files import checked_yaml

LAUNCHER_OVERRIDE = re.compile(
    r"hydra/launcher=\w+|hydra\.sweep\.dir=[^$]*"
    r"|\+*hydra\.launcher\.(n_jobs|cpus_per_task|gpus_per_node|mem_gb|nodes|partition|tasks_per_node"
    r"|timeout_min|array_parallelism|submitit_folder)=[\w./-]+"
)
"""The overrides of Hydra's own config that the saved arguments of a sweep may have."""

FULL_ERROR = "HYDRA_FULL_ERROR"

DISK_ERRORS = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EACCES, errno.EIO)

CRASHED = 1
"""The exit code of a trial that failed with an unexpected error."""


def launch(
    overrides: Sequence[str],
    flags: Sequence[str] = (),
    trust: Sequence[str] = (),
    multirun: bool = False,
    debug: bool = False,
) -> int:
    """Starts or resumes a run or a sweep for the command line.

    Args:
        overrides: Hydra overrides, and `resume=RUN`.
        flags: Hydra's flags that print the config instead of running it, such as `--cfg job`.
        trust: Modules and classes of one's own that saved configs may name.
        multirun: Whether to run each combination of comma-separated values.
        debug: Whether errors show their stack trace.

    Returns:
        The exit code, see `seq2seq.errors`.

    Raises:
        UserError: If the arguments are invalid.
    """
    check_trust(trust)
    signal.signal(signal.SIGTERM, _stop)
    if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:  # as it is after nohup
        signal.signal(signal.SIGHUP, _stop)
    refuse_empty_values(overrides)
    (resumed, _, _), remaining = split_resume(overrides)
    if resumed is not None and (multirun or flags):
        raise UserError(
            f"resume={resumed}: resumes what was started; leave out "
            f"{'--multirun' if multirun else flags[0]}"
        )
    if resumed is not None and (resumed / "sweep.json").is_file():
        return _resume_sweep(resumed, remaining, debug, trust)
    if multirun and flags:
        return _print_trials(with_initial_run(remaining, trust), flags)
    if multirun:
        return _sweep(with_initial_run(remaining, trust), debug, trust)
    return _exit_code(lambda: train_run(overrides, flags, trust), debug)


def train_run(
    overrides: Sequence[str], flags: Sequence[str] = (), trust: Trust = ()
) -> Path | None:
    """Trains a new run, or resumes that of `resume=RUN`.

    Args:
        overrides: Hydra overrides, and `resume=RUN`.
        flags: Hydra's flags, such as `--cfg job`, which prints the config instead.
        trust: Modules and classes of one's own that the config of a resumed run, or of one that
            weights are copied from, may name.

    Returns:
        The run folder; None if a flag prevented a run, or another worker has it.

    Raises:
        UserError: If an override, the data or the machine cannot be used.
        TrainingInterrupted: After Ctrl-C; the last checkpoint and the model are saved.
    """
    from seq2seq.training.stop_on_signal import TrainingInterrupted

    resume, overrides = split_resume(overrides)
    refuse_empty_values(overrides)
    if not flags and follow(resume, overrides, trust):
        return None
    if resume.folder is not None:
        _resume_run(resume.folder, overrides, trust)
        return resume.folder
    overrides = with_initial_run(overrides, trust)
    overrides = list(map(with_registered_recipes, overrides))
    is_named = any(o.key_or_group == "hydra.run.dir" for o in parse_overrides(overrides))
    run_folders: list[Path] = []
    failures: list[UserError | TrainingInterrupted] = []

    @hydra.main(version_base="1.3", config_path=str(folder("conf")), config_name="train")
    def job(config: DictConfig) -> None:
        composing.close()
        try:
            run_folders.append(_start_run(config, is_named, resume, trust))
        except (UserError, TrainingInterrupted) as failure:  # Hydra would print the overrides
            failures.append(failure)

    with _hydra_arguments(["seq2seq train", *flags, *overrides]), ExitStack() as composing:
        composing.enter_context(step("composing the config"))
        try:
            job()
        except OSError as error:  # Hydra creates the run folder
            raise UserError(f"{error.filename}: cannot be made ({error.strerror})") from error
    if failures:
        raise failures[0]
    return run_folders[0] if run_folders else None


@contextmanager
def _hydra_arguments(arguments: list[str]) -> Iterator[None]:
    """Replaces `sys.argv`, which Hydra reads, and makes Hydra raise errors, not print them."""
    argv, full_error = sys.argv, os.environ.get(FULL_ERROR)
    sys.argv, os.environ[FULL_ERROR] = arguments, "1"
    try:
        yield
    finally:
        sys.argv = argv
        if full_error is None:
            del os.environ[FULL_ERROR]
        else:
            os.environ[FULL_ERROR] = full_error


def _stop(number: int, frame: FrameType | None) -> None:
    raise Stopped("", 128 + number)


def _start_run(config: DictConfig, is_named: bool, resume: Resume, trust: Trust) -> Path:
    """Runs one experiment in a new run folder, or resumes the run that is there.

    `is_named` as in `claimed_new`.
    """
    settings = cast(DictConfig, HydraConfig.get())
    wanted = Path(settings.runtime.output_dir)
    if is_named and resume.mode != "never" and (wanted / SAVED / "config.yaml").is_file():
        _resume_same(wanted, config, resume.changes, trust)
        return wanted
    if resume.mode == "must":
        raise UserError(
            f"resume=must: there is no run in {wanted}"
            if is_named
            else "resume=must: name the folder of the run by hydra.run.dir=RUN"
        )
    with_shards(config)
    with claimed_new(wanted, is_named) as run_folder:
        with open_dict(settings), flag_override(settings, "readonly", False):
            settings.runtime.output_dir = str(run_folder)
        write_config(run_folder, config, settings, own_recipe(settings.runtime.choices.recipe))
        if hint := advice(settings.runtime.choices):
            print(f"seq2seq: {hint}", file=sys.stderr)
        tags = tags_of(settings.runtime.choices, config)
        _run(config, run_folder, tags, resumed=False, trust=trust)
    return run_folder


def _sweep(
    arguments: list[str], debug: bool, trust: Trust, sweep_folder: Path | None = None
) -> int:
    """Runs the trials of a sweep, or the remaining ones."""
    from seq2seq.sweeps.run import run_sweep

    if not any(argument.startswith("sweep=") for argument in arguments):
        arguments = ["sweep=grid", *arguments]
    overrides = list(map(with_registered_recipes, arguments))
    check: Check | None = None
    if sweep_folder is not None:  # whose files may be hostile
        check = functools.partial(check_config, place=str(sweep_folder), trust=trust)
    job = functools.partial(_trial, debug=debug, trust=trust, check=check, level=verbosity())
    parsed = parse_overrides(overrides, check)
    return run_sweep(arguments, overrides, parsed, job, PlainConsole(), sweep_folder)


def _print_trials(arguments: list[str], flags: Sequence[str]) -> int:
    """Prints the config of each trial of a sweep, as YAML documents."""
    if not {"hydra", "all"}.isdisjoint(flags):
        raise UserError("--cfg: of a sweep, only the configs of its trials are shown: --cfg job")
    overrides = list(map(with_registered_recipes, arguments))
    trials = trials_of(parse_overrides(overrides), overrides)
    for number, trial in enumerate(trials):
        values = ", ".join(value for value in trial if value not in overrides)
        print(f"---\n# trial {number} ({number + 1} of {len(trials)}): {values}")
        print(OmegaConf.to_yaml(composed(trial), resolve="--resolve" in flags), end="")
    return 0


def _resume_sweep(sweep_folder: Path, overrides: list[str], debug: bool, trust: Trust) -> int:
    """Resumes a sweep, which other processes may be running at the same time."""
    from seq2seq.sweeps.study import read_sweep

    for override in overrides:
        if not override.startswith(("sweep.", "hydra/launcher=", "hydra.launcher.")):
            raise UserError(
                f"resume={sweep_folder}: a resumed sweep cannot change {override}; it accepts "
                "sweep.trials=..., sweep.at_once=... and hydra/launcher=..."
            )
    changed_keys = {override.partition("=")[0] for override in overrides}
    saved = read_sweep(sweep_folder)["arguments"]
    unchanged = [argument for argument in saved if argument.partition("=")[0] not in changed_keys]
    _refuse_commands(unchanged, sweep_folder, trust)
    return _sweep([*unchanged, *overrides], debug, trust, sweep_folder)


def _refuse_commands(arguments: list[str], sweep_folder: Path, trust: Trust) -> None:
    """Refuses saved overrides that make a launcher run commands, unless `hydra` is trusted."""
    for argument in arguments:
        changes_hydra = argument.lstrip("+~").startswith("hydra")
        if changes_hydra and not LAUNCHER_OVERRIDE.fullmatch(argument) and "hydra" not in trust:
            raise UserError(
                f"resume={sweep_folder}: the sweep was started with {argument}, which may run "
                "commands. If you trust it, add --trust hydra"
            )


def _trial(config: DictConfig, debug: bool, trust: Trust, check: Check | None, level: int) -> int:
    """Runs or resumes one trial of a sweep, in this or another process."""
    set_verbosity(level)
    if check is not None:
        check(config)
    settings = cast(DictConfig, HydraConfig.get())
    runtime, sweep = settings.runtime, settings.sweep
    run_folder, sweep_folder = Path(runtime.output_dir), Path(sweep.dir)
    write_config(run_folder, config, settings, own_recipe(runtime.choices.recipe))
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
    trial = functools.partial(_run, config, run_folder, tags, True, sweep_folder, trust)
    try:
        return _exit_code(trial, debug)
    except Exception as error:  # the sweep continues after a failed trial
        write_text(run_folder / "error.txt", traceback.format_exc())
        _print(f"seq2seq: error: {type(error).__name__}: {error} (see {run_folder}/error.txt)")
        return CRASHED


def _resume_run(run_folder: Path, overrides: list[str], trust: Trust) -> None:
    """Resumes a run from its saved config with more overrides."""
    saved = run_folder / SAVED / "config.yaml"
    if not saved.is_file():
        raise UserError(f"resume={run_folder}: not a run folder, it has no .hydra/config.yaml")
    with claimed(run_folder):
        config = saved_config(saved, overrides, trust)
        with_shards(config, load_saved(saved, trust, resolve=False))
        tags = saved_tags(saved, config)
        write_text(saved, checked_yaml(config))
        _run(config, run_folder, tags, resumed=True, trust=trust)


def _resume_same(
    run_folder: Path, config: DictConfig, changes: frozenset[str], trust: Trust
) -> None:
    """Resumes a run that was started by the same command."""
    saved = run_folder / SAVED / "config.yaml"
    with claimed(run_folder):
        earlier = load_saved(saved, trust, resolve=False)
        check_top_level(earlier)
        with_shards(config, earlier)
        refuse_changes(run_folder, with_new_keys(earlier), config, changes)
        with open_dict(config):
            config.trainer.resume = True
        tags = saved_tags(saved, config)
        write_text(saved, checked_yaml(config))
        _run(config, run_folder, tags, resumed=True, trust=trust)


def _run(
    config: DictConfig,
    run_folder: Path,
    tags: dict[str, str],
    resumed: bool,
    sweep: Path | None = None,
    trust: Trust = (),
) -> None:
    """Runs one experiment; an exception says how to resume it.

    Raises:
        UserError: If the config, the data or the machine cannot be used.
        TrainingInterrupted: After Ctrl-C.
    """
    with step("loading the libraries"):
        from seq2seq.experiment import run
        from seq2seq.training.stop_on_signal import TrainingInterrupted

    try:
        check_keys(config)
        run(config, run_folder, tags, PlainConsole(stderr=True), trust)
    except UserError as error:
        failure = UserError(f"{error}{_how_to_resume(run_folder, sweep, resumed)}")
        failure.exit_code = error.exit_code
        raise failure from error
    except OSError as error:
        if error.errno not in DISK_ERRORS:
            raise
        path = error.filename or run_folder
        raise UserError(
            f"{path}: cannot be written or read ({error.strerror}). Make room, or give access"
            f"{_how_to_resume(run_folder, sweep, resumed)}"
        ) from error
    except KeyboardInterrupt as stop:
        text = f"Stopped.{_how_to_resume(run_folder, sweep, resumed)}"
        raise TrainingInterrupted(text, exit_code_of(stop)) from stop


def _how_to_resume(run_folder: Path, sweep: Path | None, resumed: bool) -> str:
    """Returns the command, on lines of their own; removes a new run without a checkpoint."""
    if checkpoint_paths(run_folder / "checkpoints", "last"):
        path = shlex.quote(str(sweep or run_folder))
        return f"\nThe last checkpoint is saved; resume with\n  seq2seq train resume={path}"
    if not resumed:
        remove_if_empty(run_folder)
    return ""


def _exit_code(train: Callable[[], object], debug: bool) -> int:
    """Trains, and returns the exit code; prints why the training has ended early."""
    try:
        train()
    except UserError as error:
        if debug:
            traceback.print_exc()
        _print(f"seq2seq: error: {error}")
        return error.exit_code
    except KeyboardInterrupt as stop:
        _print(str(stop) or "Stopped.")
        return exit_code_of(stop)
    return 0


def _print(text: str) -> None:
    PlainConsole(stderr=True).print(text, markup=False, highlight=False, soft_wrap=True)
