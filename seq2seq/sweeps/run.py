"""Runs the trials of a sweep through Hydra's launchers, tracks them, and reports the best."""

import json
import logging
import shlex
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from typing import cast

from hydra import initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from hydra.core.override_parser.types import Override, Quote, QuotedString
from hydra.core.plugins import Plugins
from hydra.core.utils import JobReturn
from hydra.types import HydraContext, RunMode, TaskFunction
from omegaconf import DictConfig, OmegaConf
from optuna.distributions import BaseDistribution
from optuna.trial import FrozenTrial
from rich.console import Console

from seq2seq.config import build, folder
from seq2seq.errors import STOPPED, UserError
from seq2seq.naming import tags_of
from seq2seq.private_api import hydra_callbacks
from seq2seq.progress import step
from seq2seq.sweeps.report import print_trials, write_report
from seq2seq.sweeps.settings import Sweep
from seq2seq.sweeps.space import distributions
from seq2seq.sweeps.study import SWEEP_FILE, WORKERS, Direction, TrialStudy
from seq2seq.tracking.base import RunStatus, Tracker

log = logging.getLogger(__name__)

NOT_LOGGED = ["[0-9]*", ".*", f"{WORKERS}/*"]
"""Files of a sweep's folder that its tracked run does not hold: trials have their own runs."""

Launch = Callable[[Sequence[Sequence[str]], int], Sequence[JobReturn]]


def run_sweep(
    arguments: Sequence[str],
    overrides: Sequence[str],
    parsed: Sequence[Override],
    job: TaskFunction,
    console: Console,
    own_folder: Path | None = None,
) -> int:
    """Runs trials until none are left; returns the highest exit code, or 130 after Ctrl-C.

    `overrides` are the `arguments` of the command line with Hydra's names of the recipes. `job`
    runs one trial and returns its exit code, without raising; launchers may call it in other
    processes. `own_folder` is the folder of a sweep to resume.

    Raises:
        UserError: If the sweep cannot be started.
    """
    pairs = list(zip(overrides, parsed, strict=True))
    fixed = [text for text, override in pairs if not override.is_sweep_override()]
    swept = [override for override in parsed if override.is_sweep_override()]
    with _launcher(fixed, job) as (config, launch):
        named = any(override.key_or_group == "hydra.sweep.dir" for override in parsed)
        sweep_folder = (own_folder or _new_folder(Path(config.hydra.sweep.dir), named)).absolute()
        settings: Sweep = build(config, "sweep")
        space = distributions(swept, settings.is_grid)
        direction: Direction = "maximize" if config.trainer.mode == "max" else "minimize"
        study = TrialStudy.create(sweep_folder, settings, direction, arguments, space)
        with study.as_worker(), _tracked(config, study, arguments, console) as tracker:
            codes = _run_trials(study, settings, space, fixed, launch, config, tracker)
    return max(codes, default=0)


def _new_folder(folder: Path, named: bool) -> Path:
    """Creates the folder of a new sweep; unless the user has named it, appends a number if needed.

    Another sweep may have begun in the same second.
    """
    for number in count(1):
        path = folder if number == 1 else folder.with_name(f"{folder.name}_{number}")
        try:
            path.mkdir(parents=True, exist_ok=named)
            break
        except FileExistsError:
            if named or not path.is_dir():
                raise UserError(f"hydra.sweep.dir={path}: is not a folder") from None
        except OSError as error:
            raise UserError(
                f"hydra.sweep.dir={path}: cannot be created ({error.strerror})"
            ) from error
    if (path / SWEEP_FILE).exists():
        raise UserError(
            f"hydra.sweep.dir={path}: holds a sweep already. Choose another folder, or resume that "
            f"sweep by resume={shlex.quote(str(path))}"
        )
    return path


def _run_trials(
    study: TrialStudy,
    settings: Sweep,
    space: Mapping[str, BaseDistribution],
    fixed: Sequence[str],
    launch: Launch,
    config: DictConfig,
    tracker: Tracker,
) -> list[int]:
    metric = str(config.trainer.monitor).removeprefix("val_")
    codes: list[int] = []
    while trials := study.claim(settings, space, settings.at_once):
        for trial in trials:
            total = len(study.trials) if settings.is_grid else settings.trials
            values = ", ".join(_values(trial))
            log.info("trial %d (%d of %d): %s", trial.number, trial.number + 1, total, values)
        folder = f"hydra.sweep.dir={QuotedString(str(study.folder), Quote.single).with_quotes()}"
        jobs = [
            [*fixed, *_values(trial), folder, f"hydra.sweep.subdir='{trial.number}'"]
            for trial in trials
        ]
        for trial, result in zip(trials, launch(jobs, trials[0].number), strict=True):
            codes.append(int(result.return_value))
            if codes[-1] in STOPPED:  # also ends the sweep, which `resume=` can continue
                return codes
            value = _validation_score(study.folder / str(trial.number), metric)
            study.tell(trial.number, value)
            if value is not None:
                tracker.log_metrics({f"trial_{config.trainer.monitor}": value}, trial.number)
    return codes


def _values(trial: FrozenTrial) -> list[str]:
    """Returns the values of a trial as overrides."""
    return [f"{key}={value}" for key, value in trial.params.items()]


def _validation_score(trial_folder: Path, metric: str) -> float | None:
    """Reads the score of a trial on the validation split; None if it did not finish."""
    path = trial_folder / "metrics.json"
    if not path.is_file():
        return None
    return cast(float, json.loads(path.read_text("utf-8"))["validation"][metric])


@contextmanager
def _launcher(fixed: Sequence[str], job: TaskFunction) -> Iterator[tuple[DictConfig, Launch]]:
    """Sets up the launcher of `hydra/launcher`, as Hydra's own sweepers do."""
    with initialize_config_dir(str(folder("conf").resolve()), version_base="1.3"):
        hydra = GlobalHydra.instance().hydra
        assert hydra is not None
        config = hydra.compose_config("train", list(fixed), RunMode.MULTIRUN)
        context = HydraContext(config_loader=hydra.config_loader, callbacks=hydra_callbacks(config))
        launcher = Plugins.instance().instantiate_launcher(
            hydra_context=context, task_function=job, config=config
        )
        yield config, launcher.launch


@contextmanager
def _tracked(
    config: DictConfig, study: TrialStudy, arguments: Sequence[str], console: Console
) -> Iterator[Tracker]:
    """Opens the tracked run that is the parent of the trials' runs, and reports at its end."""
    tracker: Tracker = build(config, "tracking")
    sweep = OmegaConf.to_container(config.sweep, resolve=True)
    tags = {**tags_of(config.hydra.runtime.choices, config), "sweep": "true"}
    logged = {"sweep": sweep, "overrides": list(arguments)}
    with step("starting the tracked sweep"):
        tracker.start(study.folder, logged, tags, resume=True)
    status: RunStatus = "FAILED"
    try:
        yield tracker
        status = "FINISHED" if all(t.state.is_finished() for t in study.trials) else "KILLED"
    finally:
        metric = str(config.trainer.monitor)
        with step("writing the report"):
            write_report(study, metric)
        best = study.best
        if best is not None and best.value is not None:
            tracker.log_metrics({f"best_{metric}": best.value}, best.number)
        with step("logging the sweep's folder"):
            tracker.log_folder(study.folder, ignore=NOT_LOGGED)
            tracker.finish(status)
    print_trials(study, metric, console)
