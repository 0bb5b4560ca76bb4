"""Runs the trials of a sweep through Hydra's launchers, tracks them, and says what was best."""

import json
import shlex
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from typing import Any, cast

from hydra import initialize_config_dir
from hydra._internal.callbacks import Callbacks
from hydra.core.global_hydra import GlobalHydra
from hydra.core.override_parser.types import Override
from hydra.core.plugins import Plugins
from hydra.core.utils import JobReturn
from hydra.types import HydraContext, RunMode, TaskFunction
from omegaconf import DictConfig, OmegaConf
from optuna.trial import FrozenTrial
from rich.console import Console

from seq2seq.config import build, folder
from seq2seq.errors import INTERRUPTED, UserError
from seq2seq.naming import tags_of
from seq2seq.sweeps.report import print_trials, write_report
from seq2seq.sweeps.settings import Sweep
from seq2seq.sweeps.space import distributions, text_of
from seq2seq.sweeps.study import SWEEP_FILE, WORKERS, Direction, TrialStudy
from seq2seq.tracking.base import Tracker

KEPT_OUT = ["[0-9]*", ".*", f"{WORKERS}/*"]
"""What of a sweep's folder its tracked run does without: the trials have runs of their own."""

Launch = Callable[[Sequence[Sequence[str]], int], Sequence[JobReturn]]


def run_sweep(
    arguments: Sequence[str],
    overrides: Sequence[str],
    parsed: Sequence[Override],
    job: TaskFunction,
    console: Console,
    own_folder: Path | None = None,
) -> int:
    """Runs trials until there are none left.

    Args:
        arguments: The command line, as it was typed.
        overrides: The same, recipes by the names that Hydra has them under.
        parsed: Those, parsed.
        job: Runs one trial and returns its exit code, whatever happens. Launchers may call it in
            other processes.
        console: Where a person follows the sweep.
        own_folder: The folder of a sweep to go on with; if null, what `hydra.sweep.dir` says.

    Returns:
        The highest exit code of a trial, or 130 after Ctrl-C.

    Raises:
        UserError: If the sweep cannot be begun.
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
        with study.working(), _tracked(config, study, arguments, console) as tracker:
            codes = _trials(study, settings, space, fixed, launch, config, console, tracker)
    return max(codes, default=0)


def _new_folder(folder: Path, named: bool) -> Path:
    """Makes the folder of a new sweep.

    Args:
        folder: The folder.
        named: Whether the user has named it. Else, where it belongs to another sweep, which may
            have begun in the same second, one beside it is taken.

    Raises:
        UserError: If the folder that was named is the folder of a sweep, or cannot be made.
    """
    for number in count(1):
        place = folder if number == 1 else folder.with_name(f"{folder.name}_{number}")
        try:
            place.mkdir(parents=True, exist_ok=named)
            break
        except FileExistsError:
            if named or not place.is_dir():
                raise UserError(f"hydra.sweep.dir={place}: is no folder") from None
        except OSError as error:
            raise UserError(
                f"hydra.sweep.dir={place}: cannot be made ({error.strerror})"
            ) from error
    if (place / SWEEP_FILE).exists():
        raise UserError(
            f"hydra.sweep.dir={place}: holds a sweep already. Choose another folder, or go on with "
            f"that sweep by resume={shlex.quote(str(place))}"
        )
    return place


def _trials(
    study: TrialStudy,
    settings: Sweep,
    space: Any,
    fixed: Sequence[str],
    launch: Launch,
    config: DictConfig,
    console: Console,
    tracker: Tracker,
) -> list[int]:
    metric = str(config.trainer.monitor).removeprefix("val_")
    codes: list[int] = []
    while trials := study.claim(settings, space, settings.at_once):
        for trial in trials:
            total = len(study.trials) if settings.is_grid else settings.trials
            values = ", ".join(f"{k}={text_of(v)}" for k, v in trial.params.items())
            text = f"trial {trial.number} ({trial.number + 1} of {total}): {values}"
            console.print(text, style="bold", markup=False, highlight=False, soft_wrap=True)
        jobs = [_overrides(trial, fixed, study.folder) for trial in trials]
        for trial, returned in zip(trials, launch(jobs, trials[0].number), strict=True):
            codes.append(int(returned.return_value))
            if codes[-1] == INTERRUPTED:  # the rest is not wanted either; `resume=` goes on
                return codes
            value = _value(study.folder / str(trial.number), metric)
            study.tell(trial.number, value)
            if value is not None:
                tracker.log_metrics({f"trial_{config.trainer.monitor}": value}, trial.number)
    return codes


def _overrides(trial: FrozenTrial, fixed: Sequence[str], sweep_folder: Path) -> list[str]:
    """The command line of one trial."""
    place = [f"hydra.sweep.dir={_quoted(sweep_folder)}", f"hydra.sweep.subdir='{trial.number}'"]
    values = [f"{key}={text_of(value)}" for key, value in trial.params.items()]
    return [*fixed, *values, *place]


def _quoted(path: Path) -> str:
    """A path as a text in Hydra's override syntax."""
    text = str(path).replace("\\", "\\\\").replace("'", "\\'")
    return f"'{text}'"


def _value(trial_folder: Path, metric: str) -> float | None:
    """What a trial has reached on the validation split; None if it did not end."""
    path = trial_folder / "metrics.json"
    if not path.is_file():
        return None
    return cast(float, json.loads(path.read_text("utf-8"))["validation"][metric])


@contextmanager
def _launcher(fixed: Sequence[str], job: TaskFunction) -> Iterator[tuple[DictConfig, Launch]]:
    """Sets up the launcher that `hydra/launcher` names, as Hydra's own sweepers do."""
    with initialize_config_dir(str(folder("conf").resolve()), version_base="1.3"):
        hydra = GlobalHydra.instance().hydra
        assert hydra is not None
        config = hydra.compose_config("train", list(fixed), RunMode.MULTIRUN)
        context = HydraContext(config_loader=hydra.config_loader, callbacks=Callbacks(config))
        launcher = Plugins.instance().instantiate_launcher(
            hydra_context=context, task_function=job, config=config
        )
        yield config, launcher.launch


@contextmanager
def _tracked(
    config: DictConfig, study: TrialStudy, arguments: Sequence[str], console: Console
) -> Iterator[Tracker]:
    """Opens the run that the trials' runs are children of, and closes it with a report."""
    tracker: Tracker = build(config, "tracking")
    sweep = OmegaConf.to_container(config.sweep, resolve=True)
    described = {"sweep": sweep, "overrides": list(arguments)}
    tags = tags_of(config.hydra.runtime.choices, config)
    tracker.start(study.folder, described, {**tags, "sweep": "true"}, resume=True)
    status = "FAILED"
    try:
        yield tracker
        status = "FINISHED" if all(t.state.is_finished() for t in study.trials) else "KILLED"
    finally:
        metric = str(config.trainer.monitor)
        write_report(study, metric)
        best = study.best
        if best is not None and best.value is not None:
            tracker.log_metrics({f"best_{metric}": best.value}, best.number)
        tracker.log_folder(study.folder, ignore=KEPT_OUT)
        tracker.finish(status)  # type: ignore[arg-type]
    print_trials(study, metric, console)
