"""The forecasting task, joined from its data, prediction and evaluation."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from weakref import WeakKeyDictionary

from seq2seq.data.formats.series_format import SeriesFormat
from seq2seq.data.series_columns import CalendarFeature
from seq2seq.data.series_scaling import Scaling
from seq2seq.data.series_windows import SeriesWindows
from seq2seq.errors import UserError
from seq2seq.files import write_text
from seq2seq.models.forecaster import Forecaster
from seq2seq.tasks.base import PredictionOptions
from seq2seq.tasks.exported import ExportedFunction
from seq2seq.tasks.forecasting.evaluation import BASELINES, ForecastingEvaluation
from seq2seq.tasks.forecasting.export import ExportedForecast, calendar_names
from seq2seq.training.distributions import Distribution, NegativeBinomial

CONFORMAL = ("none", "split", "adaptive")


class Forecasting(ForecastingEvaluation):
    """Learns from windows of series, and forecasts the steps that follow a series.

    Args:
        batching: How windows are drawn.
        scaling: How each window is scaled by its history.
        distribution: What is forecast of each value, and the loss.
        horizon: The forecast steps.
        context_length: The most steps of history that a window has.
        minimum_context: The least steps of history that a window needs.
        season_length: The steps of a season: of seasonal scaling, baselines and MASE.
        targets: The fields that are forecast.
        known: Covariates that are known in advance, such as holidays.
        past: Covariates of the history alone.
        static: Features of a series: numbers or texts.
        calendar: Parts of the dates that the model reads, such as `month`, see `CalendarFeature`.
        series_embedding: Whether each series has an embedding, so that only series of the training
            data can be forecast.
        stride: The steps from one origin of the evaluation to the next; None for the horizon.
        levels: The intervals of the evaluation, in percent; empty for none.
        conformal: `split` widens or narrows intervals so that they hold on the validation split;
            `adaptive` makes them of the errors there, and widens them after misses in the history
            of a series; `none` leaves them as the distribution has them.
        samples: Sample paths from which a model that feeds back takes quantiles.
        baselines: The methods that the test split is forecast with, too.
        seed: Of sample paths.

    Raises:
        UserError: If an argument is impossible.
    """

    def __init__(  # noqa: PLR0913 - each is a key of conf/task/forecasting.yaml
        self,
        batching: SeriesWindows,
        scaling: Scaling,
        distribution: Distribution,
        *,
        horizon: int,
        context_length: int,
        minimum_context: int = 1,
        season_length: int = 1,
        targets: Sequence[str] = ("y",),
        known: Sequence[str] = (),
        past: Sequence[str] = (),
        static: Sequence[str] = (),
        calendar: Sequence[str] = (),
        series_embedding: bool = False,
        stride: int | None = None,
        levels: Sequence[float] = (80, 95),
        conformal: str = "none",
        samples: int = 100,
        baselines: Sequence[str] = ("naive", "naive2", "seasonal_naive", "drift"),
        seed: int = 0,
    ) -> None:
        super().__init__(batching)
        stride = horizon if stride is None else stride
        _check_sizes(
            horizon=horizon,
            context_length=context_length,
            minimum_context=minimum_context,
            season_length=season_length,
            samples=samples,
            stride=stride,
        )
        if minimum_context > (most := max(context_length, scaling.history_length)):
            raise UserError(
                f"task.minimum_context: {minimum_context} steps are needed, and only {most} are "
                "read (task.context_length)."
            )
        columns = {"targets": targets, "known": known, "past": past, "static": static}
        _check_lists(**columns, calendar=calendar, baselines=baselines)
        if not targets:
            raise UserError("task.targets: name at least one column.")
        if conformal not in CONFORMAL:
            raise UserError(
                f"task.conformal: must be one of {', '.join(CONFORMAL)}, got {conformal!r}."
            )
        for name in baselines:
            if name not in BASELINES:
                raise UserError(
                    f"task.baselines: must be some of {', '.join(BASELINES)}, got {name!r}."
                )
        _check_distribution(distribution, scaling)
        if batching.mirror and not scaling.subtracts:
            raise UserError(
                "batching.mirror: changes the sign of scaled values, which needs a scaling that "
                "subtracts a level; give batching.mirror=0, or another task.scaling."
            )
        for part in calendar:
            CalendarFeature(part, "sin")
        self.horizon, self.context_length = horizon, context_length
        self.minimum_context, self.season_length = minimum_context, season_length
        self.stride = stride
        self.targets, self.known, self.past = tuple(targets), tuple(known), tuple(past)
        self.static, self.calendar = tuple(static), tuple(calendar)
        self.input_fields = self.targets
        self.scaling, self.distribution, self.loss = scaling, distribution, distribution
        self.series_embedding = series_embedding
        self.levels = tuple(levels)
        self.conformal, self.samples, self.seed = conformal, samples, seed
        self.baselines = tuple(baselines)
        self.encoders, self.series_ids = {}, []
        self.frequency, self.has_missing = None, False
        self.conformal_offsets, self.calibration_residuals = {}, []
        self.format = SeriesFormat(
            targets=self.targets, known=self.known, past=self.past, static=self.static
        )
        self._origins, self._scales = WeakKeyDictionary(), WeakKeyDictionary()
        self._graphs = {}
        self.quantile_levels(self.levels)

    def exported_functions(
        self, model: Forecaster, options: PredictionOptions
    ) -> list[ExportedFunction]:
        """Returns the forecast with its scaling."""
        self.check_options(options, ())
        return [ExportedForecast(self, model).function()]

    def export_vocabularies(self, folder: Path) -> dict[str, Any]:
        """Returns the names of the series' parts; categories are written as `series.json`."""
        write_text(folder / "series.json", json.dumps(self._exported_names(), indent=1))
        return {"series": "series.json"}

    def _exported_names(self) -> dict[str, Any]:
        categories = {f: self.encoders[f] for f in self.static if f in self.encoders}
        return {
            "targets": list(self.targets),
            "past_covariates": list(self.past),
            "known_covariates": [*self.known, *calendar_names(self.calendar)],
            "horizon": self.horizon,
            "context_length": self.context_length,
            "minimum_context": self.minimum_context,
            "static": {field: vars(encoder) for field, encoder in categories.items()},
            "series": list(self.series_ids) if self.series_embedding else [],
        }


def _check_sizes(**sizes: int) -> None:
    """Raises a `UserError` for a size that is no whole number of at least 1."""
    for name, size in sizes.items():
        if isinstance(size, bool) or not isinstance(size, int) or size < 1:
            raise UserError(f"task.{name}: must be a whole number of at least 1, got {size!r}.")


def _check_lists(**names: Sequence[str]) -> None:
    """Raises a `UserError` for a name that is in no list."""
    for key, value in names.items():
        if isinstance(value, str):
            raise UserError(f"task.{key}: must be a list, 'task.{key}=[{value}]', got {value!r}.")


def _check_distribution(distribution: Distribution, scaling: Scaling) -> None:
    """Raises a `UserError` if a distribution does not suit the scaling."""
    if isinstance(distribution, NegativeBinomial) and scaling.subtracts:
        raise UserError(
            "task.scaling: counts need kind=mean or none, log=false and season=none, so that "
            "nothing is subtracted."
        )
    if getattr(distribution, "loss", None) == "smape" and not scaling.log:
        raise UserError("task.distribution.loss=smape: needs a scaling of logarithms.")
