"""Sessions of forecasts: series whose values arrive one by one, each with a state of its own."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from seq2seq.errors import UserError
from seq2seq.inference.predictor import Predictor
from seq2seq.prediction_rows import ForecastRow
from seq2seq.request import PredictionRequest
from seq2seq.tasks.forecasting import Forecasting
from seq2seq.trust import Trust


class ForecastSession:
    """Forecasts many series whose values arrive one by one.

    The state of a series is the history that a forecast can depend on: as many of its last values
    as the model, its scaling and its intervals read. So forecasts equal those from the complete
    history.

    Args:
        predictor: A run that forecasts, without covariates; or an ensemble.

    Raises:
        UserError: If the run does not forecast, or reads covariates.

    Example:
        >>> session = ForecastSession.load("outputs/forecasting/co2/2026-11-29_09-00-00")
        >>> session.feed({"sensor 1": [315.4, 316.1], "sensor 2": [400.0]})
        >>> session.forecast(["sensor 1"], horizon=3, levels=[80])[0]["prediction"]
    """

    def __init__(self, predictor: Predictor) -> None:
        task = predictor.task
        if not isinstance(task, Forecasting):
            raise UserError(f"{type(task).__name__} runs do not forecast series.")
        if others := (*task.known, *task.past, *task.static, *task.calendar):
            raise UserError(
                f"The run reads {', '.join(others)} beside the values; give it tables instead."
            )
        self.predictor, self._targets = predictor, task.targets
        self._has_missing = task.has_missing
        self._length = task.history_steps()
        self._values: dict[str, np.ndarray] = {}
        self._counts: dict[str, int] = {}

    @classmethod
    def load(cls, run_folder: str | Path, trust: Trust = ()) -> "ForecastSession":
        """Opens a session with a run; `trust` as for `Predictor.load`."""
        return cls(Predictor.load(run_folder, trust=trust))

    @property
    def series(self) -> list[str]:
        """The series that have a state, oldest first."""
        return list(self._values)

    def feed(self, values: Mapping[str, Any]) -> None:
        """Appends new values to series; new series begin with them.

        Args:
            values: The name of a series to its new values: a number, `(steps,)`, or with several
                targets `(steps, targets)`; NaN where one is missing, if training has such.

        Raises:
            UserError: If values have another shape or are no numbers; nothing is appended then.
        """
        arrays = {name: self._checked(name, new) for name, new in values.items()}
        for name, new in arrays.items():
            before = self._values.get(name, new[:0])
            self._values[name] = np.concatenate([before, new])[-self._length :]
            self._counts[name] = self._counts.get(name, 0) + len(new)

    def forecast(
        self,
        series: Sequence[str] | None = None,
        horizon: int | None = None,
        levels: Sequence[float] = (),
    ) -> list[ForecastRow]:
        """Forecasts what follows the values of some series, by default of all.

        Args:
            series: Their names.
            horizon: The steps; None for as many as in training.
            levels: Intervals, in percent.

        Returns:
            A row for each series and target; its `ds` count the values from 1.

        Raises:
            UserError: If a series is unknown or too short, or the model cannot do it.
        """
        names = self.series if series is None else list(series)
        for name in names:
            if name not in self._values:
                raise UserError(f"series {name!r}: has no values yet; feed some.")
        records = [self._record(name) for name in names]
        request = PredictionRequest(horizon=horizon, levels=levels)
        rows: list[Any] = self.predictor.predict(records, request)
        return [self._counted(row) for row in rows]

    def forget(self, series: str) -> None:
        """Removes the state of a series."""
        self._values.pop(series, None)
        self._counts.pop(series, None)

    def _counted(self, row: ForecastRow) -> ForecastRow:
        """Returns a forecast whose steps are counted, also where training has dates."""
        count, steps = self._counts[row["unique_id"]], len(row["prediction"])
        return {**row, "cutoff": count, "ds": list(range(count + 1, count + 1 + steps))}

    def _record(self, name: str) -> dict[str, Any]:
        values = self._values[name]
        by_target = {field: values[:, k].tolist() for k, field in enumerate(self._targets)}
        return {"unique_id": name, **by_target}

    def _checked(self, name: str, new: Any) -> np.ndarray:
        targets = len(self._targets)
        try:
            values = np.asarray(new, np.float64)
        except (TypeError, ValueError) as error:
            raise UserError(f"series {name!r}: needs numbers ({error}).") from error
        if values.ndim < 2 and targets == 1:
            values = values.reshape(-1, 1)
        impossible = np.isinf(values) if self._has_missing else ~np.isfinite(values)
        if values.ndim != 2 or values.shape[1] != targets or impossible.any():
            raise UserError(
                f"series {name!r}: needs numbers ({targets} for each step), without infinite or "
                f"missing ones, got {new!r:.80}."
            )
        return values
