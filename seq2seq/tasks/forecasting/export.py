"""What leaves of a forecasting run: the forecast with its scaling, and its quantiles."""

from collections.abc import Sequence

import numpy as np
import tensorflow as tf

from seq2seq.data.series_columns import NumberSequence
from seq2seq.data.series_scaling import WindowScaling
from seq2seq.errors import UserError
from seq2seq.models.forecaster import Forecast, Forecaster
from seq2seq.tasks.exported import ExportedFunction, TensorInfo, Tensors
from seq2seq.tasks.forecasting.exported_scaling import GraphScale, fitted_scale
from seq2seq.tasks.forecasting.intervals import quantile_levels
from seq2seq.tasks.forecasting.prediction import ForecastingPrediction
from seq2seq.training.distributions import Gaussian, Quantiles


class ExportedForecast:
    """The forecast of a run as a function of unscaled histories.

    Args:
        task: The task.
        model: Its model.

    Raises:
        UserError: If the scaling cannot be a part of a graph.
    """

    def __init__(self, task: ForecastingPrediction, model: Forecaster) -> None:
        if not isinstance(task.scaling, WindowScaling):
            raise UserError(
                f"task.scaling: {type(task.scaling).__name__} fits statistical models in Python, "
                "which no graph holds; --format keras exports the model without its scaling, or "
                "train with task/scaling=window."
            )
        self.task, self.model, self.scaling = task, model, task.scaling

    def function(self) -> ExportedFunction:
        """Returns the function."""
        task, targets = self.task, len(self.task.targets)
        steps = ("batch", "steps")
        inputs = {
            "history": TensorInfo(
                "float32", (*steps, targets),
                f"values of {', '.join(task.targets)}, NaN where missing; at least "
                f"{max(task.minimum_context, 1)} steps, of which the last {task.context_length} "
                "are read",
            ),
            "history_length": TensorInfo("int32", ("batch",), "the number of steps of each row"),
        }  # fmt: skip
        if task.past:
            inputs["past_covariates"] = TensorInfo(
                "float32", (*steps, len(task.past)), f"values of {', '.join(task.past)}"
            )
        if known := self._known():
            inputs["known_covariates"] = TensorInfo(
                "float32", ("batch", "steps_and_horizon", len(known)),
                f"values of {', '.join(known)} at the steps of the history, and the "
                f"{task.horizon} after",
            )  # fmt: skip
        if self.model.features.static:
            inputs["static"] = TensorInfo(
                "float32", ("batch", self.model.features.static),
                f"{', '.join(task.static)}, encoded as in series.json",
            )  # fmt: skip
        if task.series_embedding:
            inputs["series"] = TensorInfo("int32", ("batch",), "the number of the series")
        shape: tuple[str | int, ...] = ("batch", task.horizon, targets)
        outputs = {"forecast": TensorInfo("float32", shape, "the forecast, in units of the series")}
        if levels := self._levels():
            names = ", ".join(f"{level:g}" for level in levels)
            outputs["quantiles"] = TensorInfo(
                "float32", (*shape, len(levels)), f"the quantiles {names}"
            )
        return ExportedFunction(
            "predict", f"forecasts {task.horizon} steps", self.run, inputs, outputs
        )

    def _known(self) -> list[str]:
        """Returns the names of covariates that are known in advance."""
        return [*self.task.known, *calendar_names(self.task.calendar)]

    def _levels(self) -> list[float]:
        """Returns the levels of the quantiles; none if they need samples or special functions."""
        task = self.task
        plain = isinstance(task.distribution, Quantiles | Gaussian) or (
            task.conformal_offsets and not task.distribution.has_quantiles
        )
        if not plain or self.model.feeds_back or task.calibration_residuals:
            return []
        return quantile_levels(task.levels)

    def run(self, tensors: Tensors) -> Tensors:
        """Forecasts; inputs and outputs as `function` describes them."""
        task = self.task
        lengths = tf.minimum(tensors["history_length"], tf.shape(tensors["history"])[1])
        history = _last_steps(tensors["history"], lengths, task.context_length)
        read = tf.minimum(lengths, task.context_length)
        real = tf.expand_dims(tf.sequence_mask(read, tf.shape(history)[1]), -1)
        observed = real & ~tf.math.is_nan(history)  # (batch, steps, targets)
        values = tf.where(observed, history, 1.0)
        if self.scaling.log:
            values = tf.math.log(values)
        scales = [
            fitted_scale(
                self.scaling, values[..., k], observed[..., k], task.season_length, task.horizon
            )
            for k in range(len(task.targets))
        ]
        inputs = self._inputs(tensors, lengths, read, values, observed, scales)
        forecast = self.model.forecast(
            inputs, task.horizon, lambda raw, _: task.distribution.point(raw)
        )
        result = {"forecast": self._undone(forecast.values, scales)}
        if levels := self._levels():
            quantiles = self._quantiles(forecast, levels)
            result["quantiles"] = tf.stack(
                [self._undone(part, scales) for part in quantiles], axis=-1
            )
        return result

    def _inputs(
        self,
        tensors: Tensors,
        lengths: tf.Tensor,
        read: tf.Tensor,
        values: tf.Tensor,
        observed: tf.Tensor,
        scales: Sequence[GraphScale],
    ) -> Tensors:
        """Returns the model's inputs, as `ForecastingWindows.windows` makes them."""
        task, steps = self.task, tf.shape(values)[1]
        past = tf.stack([scale.past_offset for scale in scales], axis=-1)
        factors = tf.stack([scale.factor for scale in scales], axis=-1)  # (batch, 1, targets)
        features = [tf.where(observed, (values - past) / factors, 0.0)]
        if task.has_missing:
            features.append(tf.cast(observed, tf.float32))
        if task.past:
            covariates = self._standardised(tensors["past_covariates"], task.past)
            features.append(_last_steps(covariates, lengths, task.context_length))
        inputs = {"past_length": read}
        if known := self._known():
            covariates = self._standardised(tensors["known_covariates"], known)
            features.append(_last_steps(covariates, lengths, task.context_length))
            places = lengths[:, tf.newaxis] + tf.range(task.horizon)
            inputs["future"] = tf.gather(covariates, places, batch_dims=1)
        real = tf.expand_dims(tf.sequence_mask(read, steps), -1)
        inputs["past"] = tf.where(real, tf.concat(features, axis=-1), 0.0)
        for name in ("static", "series"):
            if name in tensors:
                inputs[name] = tensors[name]
        if task.distribution.reads_factor:
            inputs["factor"] = factors[:, 0]
        return inputs

    def _standardised(self, covariates: tf.Tensor, names: Sequence[str]) -> tf.Tensor:
        """Standardises covariates `(batch, steps, names)`; those of the calendar are as given."""
        encoders = [self.task.encoders.get(name) for name in names]
        numbers = [
            encoder if isinstance(encoder, NumberSequence) else NumberSequence("calendar")
            for encoder in encoders
        ]
        mean = tf.constant([encoder.mean for encoder in numbers], tf.float32)
        deviation = tf.constant([encoder.deviation for encoder in numbers], tf.float32)
        values = (covariates - mean) / deviation
        return tf.where(tf.math.is_nan(values), 0.0, values)

    def _quantiles(self, forecast: Forecast, levels: Sequence[float]) -> list[tf.Tensor]:
        """Returns scaled quantiles by level, `(batch, horizon, targets)` each."""
        task = self.task
        quantiles = [
            # The sample of a random number is the quantile of that level.
            task.distribution.sample(forecast.raw, tf.fill((1, 1, 1, 2), level))
            if isinstance(task.distribution, Quantiles | Gaussian)
            else forecast.values
            for level in levels
        ]
        if not task.conformal_offsets:
            return quantiles
        offsets = (np.array(task.conformal_offsets[str(level)], np.float32) for level in levels)
        shifted = [part + offset for part, offset in zip(quantiles, offsets, strict=True)]
        return tf.unstack(tf.sort(tf.stack(shifted, axis=-1), axis=-1), axis=-1)

    def _undone(self, scaled: tf.Tensor, scales: Sequence[GraphScale]) -> tf.Tensor:
        """Returns scaled values `(batch, horizon, targets)` in the units of the series."""
        offsets = tf.stack([scale.future_offset for scale in scales], axis=-1)
        factors = tf.stack([scale.factor for scale in scales], axis=-1)
        values = scaled * factors + offsets
        return tf.exp(values) if self.scaling.log else values


def calendar_names(parts: Sequence[str]) -> list[str]:
    """Returns the names of the covariates of parts of a date, such as `month.sin`."""
    return [f"{part}.{function}" for part in parts for function in ("sin", "cos")]


def _last_steps(values: tf.Tensor, lengths: tf.Tensor, count: int) -> tf.Tensor:
    """Returns the last `count` steps of left-aligned sequences `(batch, steps, ...)`."""
    size = tf.shape(values)[1]
    first = tf.maximum(lengths - count, 0)
    places = first[:, tf.newaxis] + tf.range(tf.minimum(size, count))
    return tf.gather(values, tf.minimum(places, size - 1), batch_dims=1)
