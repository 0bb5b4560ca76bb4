"""The settings of a sweep: how many trials, and how their values are chosen."""

import warnings
from collections.abc import Callable
from dataclasses import dataclass

import optuna


@dataclass(frozen=True)
class Sweep:
    """The settings of a sweep, as configured in `conf/sweep/`.

    Args:
        trials: The number of trials; null for every combination of a grid.
        at_once: The number of trials to launch together.
        seed: The seed of the sampler. The values of a trial depend on it, the trial's number and
            the trials that have ended before, not on interruptions.
        sampler: Creates an Optuna sampler from a seed; null for a grid.
        pruner: The Optuna pruner; null for none.
        storage: The database of the study; null for `study.db` in the sweep's folder.

    Raises:
        ValueError: If a value is invalid.
    """

    trials: int | None = None
    at_once: int = 1
    seed: int = 1
    sampler: Callable[..., optuna.samplers.BaseSampler] | None = None
    pruner: optuna.pruners.BasePruner | None = None
    storage: str | None = None

    def __post_init__(self) -> None:
        for name, value in (("trials", self.trials), ("at_once", self.at_once)):
            if value is not None and value < 1:
                raise ValueError(f"{name}: must be at least 1, got {value!r}")
        if self.sampler is not None and self.trials is None:
            raise ValueError("trials: must be a number of trials for a search, got null")

    @property
    def is_grid(self) -> bool:
        """Whether every combination is a trial."""
        return self.sampler is None

    def sampler_of(self, trial: int) -> optuna.samplers.BaseSampler:
        """Returns the sampler for the values of a trial."""
        if self.sampler is None:
            return optuna.samplers.RandomSampler(self.seed)  # unused: a grid's values are fixed
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            return self.sampler(seed=self.seed + trial)
