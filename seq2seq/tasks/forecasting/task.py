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
from seq2seq.tasks.consistency import check_drops
from seq2seq.tasks.exported import ExportedFunction
from seq2seq.tasks.forecasting.evaluation import BASELINES, ForecastingEvaluation
from seq2seq.tasks.forecasting.export import ExportedForecast, calendar_names
from seq2seq.tasks.forecasting.intervals import quantile_levels
from seq2seq.tasks.prediction_options import PredictionOptions
from seq2seq.training.distributions import Distribution, NegativeBinomial, Quantiles

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
        season_length: The steps of a season: of seasonal scaling, baselines and MASE; None for the
            usual one of the frequency of the data, see `season_length_of`.
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
        consistency: Weight of the divergence between two passes over each training window, with two
            dropout masks, see `Distribution`; a step takes about twice as long.

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
        season_length: int | None = None,
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
        consistency: float = 0.0,
    ) -> None:
        super().__init__(batching)
        columns = {"targets": targets, "known": known, "past": past, "static": static}
        _check_lists(**columns, calendar=calendar, baselines=baselines)
        self.horizon, self.context_length = horizon, context_length
        self.minimum_context, self.samples, self.seed = minimum_context, samples, seed
        self.season_length = 1 if season_length is None else season_length
        self.has_usual_season = season_length is None
        self.stride = horizon if stride is None else stride
        self.targets, self.known, self.past = tuple(targets), tuple(known), tuple(past)
        self.static, self.calendar = tuple(static), tuple(calendar)
        self.input_fields = self.targets
        self.scaling, self.distribution, self.loss = scaling, distribution, distribution
        self.series_embedding, self.conformal = series_embedding, conformal
        self.levels, self.baselines = tuple(levels), tuple(baselines)
        self.consistency = consistency
        self._check_settings(batching)
        distribution.consistency = consistency
        self.encoders, self.series_ids = {}, []
        self.frequency, self.has_missing = None, False
        self.conformal_offsets, self.calibration_residuals = {}, []
        self.format = SeriesFormat(
            targets=self.targets, known=self.known, past=self.past, static=self.static
        )
        self._origins, self._scales = WeakKeyDictionary(), WeakKeyDictionary()
        self._graphs = {}

    def _check_settings(self, batching: SeriesWindows) -> None:
        """Raises a `UserError` for settings that are impossible, each or together."""
        sizes = ("horizon", "context_length", "minimum_context", "season_length", "samples")
        _check_sizes(**{name: getattr(self, name) for name in (*sizes, "stride")})
        longest = max(self.context_length, self.scaling.history_length)
        if self.minimum_context > longest:
            raise UserError(
                f"task.minimum_context: {self.minimum_context} steps are needed, and only "
                f"{longest} are read (task.context_length)."
            )
        if not self.targets:
            raise UserError("task.targets: name at least one column.")
        if self.conformal not in CONFORMAL:
            raise UserError(
                f"task.conformal: must be one of {', '.join(CONFORMAL)}, got {self.conformal!r}."
            )
        for name in self.baselines:
            if name not in BASELINES:
                raise UserError(
                    f"task.baselines: must be some of {', '.join(BASELINES)}, got {name!r}."
                )
        _check_distribution(self.distribution, self.scaling)
        _check_consistency(self.consistency, self.distribution)
        if batching.mirror and not self.scaling.subtracts:
            raise UserError(
                "batching.mirror: changes the sign of scaled values, which needs a scaling that "
                "subtracts a level; give batching.mirror=0, or another task.scaling."
            )
        for part in self.calendar:
            CalendarFeature(part, "sin")
        quantiles = quantile_levels(self.levels)
        if isinstance(self.distribution, Quantiles) and self.conformal != "adaptive":
            self.distribution.check_levels(quantiles)

    def check_model(self, model: Forecaster) -> None:
        """Refuses a consistency loss where there is no dropout."""
        check_drops(self.consistency, model)

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


def _check_consistency(consistency: float, distribution: Distribution) -> None:
    """Raises a `UserError` for an impossible weight, or if no divergence is known."""
    if consistency < 0:
        raise UserError(f"task.consistency: must be at least 0, got {consistency!r}.")
    if consistency and not distribution.has_divergence:
        raise UserError(
            "task.consistency: is a divergence of two distributions, and that of "
            f"{type(distribution).__name__} has no formula; choose task/distribution=gaussian, or "
            "leave it out."
        )


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
