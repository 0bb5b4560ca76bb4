"""The trials of a sweep, in an Optuna study that several processes share."""

import fcntl
import json
import os
import socket
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

import optuna
from optuna.distributions import BaseDistribution
from optuna.storages import RDBStorage
from optuna.trial import FrozenTrial, Trial, TrialState

from seq2seq.errors import UserError
from seq2seq.files import write_text
from seq2seq.private_api import optuna_trial_id
from seq2seq.sweeps.settings import Sweep
from seq2seq.sweeps.space import combinations

SWEEP_FILE = "sweep.json"
WORKERS = ".workers"
PRUNED, WORKER = "pruned", "worker"

Direction = Literal["minimize", "maximize"]
optuna.logging.set_verbosity(optuna.logging.ERROR)


class TrialStudy:
    """An Optuna study and the folder of its sweep, shared by several workers (processes).

    A trial belongs to the worker that began it while that worker is alive: each worker holds a
    file lock, which the system releases when the process dies.

    Args:
        folder: The sweep's folder.
        study: The study.
    """

    def __init__(self, folder: Path, study: optuna.Study) -> None:
        self.folder, self.study = folder, study
        self.worker = ""

    @classmethod
    def create(
        cls,
        folder: Path,
        settings: Sweep,
        direction: Direction,
        arguments: Sequence[str],
        space: Mapping[str, BaseDistribution],
    ) -> "TrialStudy":
        """Creates a study, with all trials if it is a grid, or opens the existing one.

        Raises:
            UserError: If the storage cannot be used.
        """
        folder.mkdir(parents=True, exist_ok=True)
        with _locked(folder / ".lock"):
            sweep_file = folder / SWEEP_FILE
            if not sweep_file.exists():
                storage = settings.storage or _default_storage(folder)
                name = f"{folder.name} {uuid.uuid4().hex[:8]}"
                study = optuna.create_study(
                    storage=_storage(storage), study_name=name, direction=direction
                )
                for values in combinations(space) if settings.is_grid else ():
                    study.enqueue_trial(values)
                content = {
                    "study": name,
                    "storage": settings.storage,  # null by default: the folder may be moved
                    "arguments": list(arguments),
                }
                write_text(sweep_file, json.dumps(content, indent=2))
        return cls.read(folder, settings.pruner)

    @classmethod
    def read(cls, folder: Path, pruner: optuna.pruners.BasePruner | None = None) -> "TrialStudy":
        """Opens the study of a sweep's folder.

        Raises:
            UserError: If there is none, or it cannot be read.
        """
        content = read_sweep(folder)
        storage = content["storage"] or _default_storage(folder)
        pruner = pruner or optuna.pruners.NopPruner()
        try:
            study = optuna.load_study(
                storage=_storage(storage), study_name=content["study"], pruner=pruner
            )
        except KeyError as error:
            raise UserError(f"{folder}: its study is not in {storage}") from error
        return cls(folder, study)

    @contextmanager
    def as_worker(self) -> Iterator[None]:
        """Makes this process a worker, which owns the trials it begins until the block ends."""
        self.worker = f"{socket.gethostname()}-{os.getpid()}-{uuid.uuid4().hex[:6]}"
        (self.folder / WORKERS).mkdir(exist_ok=True)
        path = self.folder / WORKERS / self.worker
        with _locked(path):
            yield
            path.unlink(missing_ok=True)

    def claim(
        self, settings: Sweep, space: Mapping[str, BaseDistribution], count: int
    ) -> list[FrozenTrial]:
        """Returns up to `count` trials to run: first those of dead workers, then new ones."""
        with _locked(self.folder / ".lock"):
            trials = self.study.get_trials(deepcopy=False)
            running = [trial for trial in trials if trial.state == TrialState.RUNNING]
            orphaned = [trial.number for trial in running if not self._has_live_worker(trial)]
            numbers = orphaned[:count]
            waiting = sum(trial.state == TrialState.WAITING for trial in trials)
            begun = len(trials) - waiting
            limit = len(trials) if settings.is_grid else settings.trials or 0
            limit = min(limit, settings.trials or limit)
            while len(numbers) < count and begun < limit:
                self.study.sampler = settings.sampler_of(begun)
                numbers.append(self.study.ask(dict(space)).number)
                begun += 1
            for number in numbers:
                self._trial(number).set_user_attr(WORKER, self.worker)
            trials = self.study.get_trials(deepcopy=False)
        return [trials[number] for number in numbers]

    def _has_live_worker(self, trial: FrozenTrial) -> bool:
        worker = trial.user_attrs.get(WORKER, "")
        path = self.folder / WORKERS / worker
        if worker == self.worker:
            return True
        if not worker or not path.exists():
            return False
        with path.open("a", encoding="utf-8") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                return True
        path.unlink(missing_ok=True)
        return False

    def tell(self, number: int, value: float | None) -> None:
        """Ends a trial with its value; without a value, it has failed."""
        if value is None:
            self.study.tell(number, state=TrialState.FAIL)
        elif self._trial(number).user_attrs.get(PRUNED):
            # Optuna takes the last reported value of a pruned trial.
            self.study.tell(number, state=TrialState.PRUNED)
        else:
            self.study.tell(number, value)

    def should_prune(self, number: int, epoch: int, value: float) -> bool:
        """Reports a trial's value after an epoch; returns whether the trial should end."""
        trial = self._trial(number)
        trial.report(value, epoch)
        prune = bool(trial.should_prune())
        if prune:
            trial.set_user_attr(PRUNED, epoch)
        return prune

    def _trial(self, number: int) -> Trial:
        trial_id = optuna_trial_id(self.study.get_trials(deepcopy=False)[number])
        return Trial(self.study, trial_id)

    @property
    def trials(self) -> list[FrozenTrial]:
        """All trials, by number."""
        return self.study.get_trials(deepcopy=False)

    @property
    def best(self) -> FrozenTrial | None:
        """The first complete trial with the best value; None before there is one."""
        complete = self.study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
        sign = 1 if self.lower_is_better else -1
        return min(complete, key=lambda trial: sign * (trial.value or 0.0), default=None)

    @property
    def ties(self) -> list[int]:
        """The numbers of the complete trials that are as good as the best one."""
        complete = self.study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
        best = self.best
        return [
            trial.number
            for trial in complete
            if best and trial.number != best.number and trial.value == best.value
        ]

    @property
    def lower_is_better(self) -> bool:
        """Whether the sweep minimizes its metric."""
        return self.study.direction == optuna.study.StudyDirection.MINIMIZE


def read_sweep(folder: Path) -> dict[str, Any]:
    """Reads `study`, `storage` and `arguments` from a sweep's folder.

    Raises:
        UserError: If it is not the folder of a sweep.
    """
    try:
        content = json.loads((folder / SWEEP_FILE).read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise UserError(f"{folder}: is not the folder of a sweep ({error})") from error
    assert isinstance(content, dict)
    return content


def _default_storage(folder: Path) -> str:
    return f"sqlite:///{(folder / 'study.db').resolve()}"


def _storage(url: str) -> RDBStorage:
    # SQLite lets one process write at a time: many workers may have to wait for long.
    timeout = {"timeout": 60} if url.startswith("sqlite") else {}
    try:
        return RDBStorage(url, engine_kwargs={"connect_args": timeout})
    except Exception as error:  # each database raises its own
        raise UserError(f"sweep.storage: cannot be used ({error})") from error


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    """Holds a lock on a file, which the system releases if this process dies."""
    with path.open("a", encoding="utf-8") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
