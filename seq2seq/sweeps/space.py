"""The search space of a sweep, from Hydra's override syntax."""

import itertools
import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from hydra.core.override_parser.types import IntervalSweep, Override, RangeSweep
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)

from seq2seq.errors import UserError


def distributions(overrides: Sequence[Override], is_grid: bool) -> dict[str, BaseDistribution]:
    """Returns Optuna's distribution of each key that is swept over.

    A key keeps its `+`. Choices are texts, as typed on the command line.

    Raises:
        UserError: If a grid has an interval, or an interval is invalid.
    """
    return {override.get_key_element(): _distribution(override, is_grid) for override in overrides}


def _distribution(override: Override, is_grid: bool) -> BaseDistribution:
    value, key = override.value(), override.get_key_element()
    if isinstance(value, IntervalSweep):
        if is_grid:
            raise UserError(
                f"{key}: an interval has no end of values to try; add sweep=optuna, or name values"
            )
        return _interval(key, value)
    if isinstance(value, RangeSweep) and not is_grid and not value.shuffle:
        return _range(value)
    return CategoricalDistribution(tuple(override.sweep_string_iterator()))


def _interval(key: str, interval: IntervalSweep) -> BaseDistribution:
    low, high, log = interval.start, interval.end, "log" in interval.tags
    try:
        if isinstance(low, int) and isinstance(high, int):
            return IntDistribution(low, high, log=log)
        return FloatDistribution(float(low or 0), float(high or 0), log=log)
    except ValueError as error:
        raise UserError(f"{key}: {error}") from error


def _range(values: RangeSweep) -> BaseDistribution:
    start, step, numbers = values.start or 0, values.step, list(values.range())
    if all(isinstance(number, int) for number in (start, step, *numbers)):
        return IntDistribution(int(min(numbers)), int(max(numbers)), step=abs(int(step)))
    return FloatDistribution(float(min(numbers)), float(max(numbers)), step=math.fabs(float(step)))


def combinations(space: Mapping[str, BaseDistribution]) -> Iterator[dict[str, Any]]:
    """Yields every combination of a grid; the last key changes fastest."""
    choices = [distribution.choices for distribution in space.values()]  # type: ignore[attr-defined]
    for values in itertools.product(*choices):
        yield dict(zip(space, values, strict=True))
