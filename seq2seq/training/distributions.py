"""Distributions of forecasts, which are losses, too: negative log-likelihoods or quantile losses.

A model returns raw numbers, float32 `(batch, horizon, targets, size)`, for scaled values
`(batch, horizon, targets)`; a distribution makes parameters of them. Quantiles and samples are
scaled values, as the labels are.
"""

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import ClassVar, Literal

import numpy as np
import tensorflow as tf

from seq2seq.errors import UserError
from seq2seq.training.losses import ElementLoss

LOSSES = ("mae", "mse", "huber", "smape")
BISECTIONS = 40
SMAPE_UNIT = 10
"""What a sMAPE is divided by as an objective, so that gradients are of the size of others."""
MINIMUM_SCALE = 1e-3
"""Of scaled values: a smaller deviation would make the likelihood explode."""


class Distribution(ABC):
    """Base of all distributions.

    Attributes:
        size: Raw numbers of each value.
        has_quantiles: Whether `quantiles` can be called.
        has_counts: Whether quantiles are whole numbers.
        reads_factor: Whether the last of the raw numbers is the factor of the window's scale.
        has_perplexity: Whether `exp` of the mean loss is reported, too.
        has_divergence: Whether the divergence of two such distributions has a formula.
        consistency: Weight of the divergence between the model's distributions under two dropout
            masks (R-Drop, Liang et al., 2021, https://arxiv.org/abs/2106.14448).
    """

    size: int
    has_quantiles: ClassVar[bool] = True
    has_counts: ClassVar[bool] = False
    reads_factor: bool = False
    has_perplexity: ClassVar[bool] = False
    has_divergence: ClassVar[bool] = False
    consistency: float = 0.0

    @abstractmethod
    def __call__(self, labels: tf.Tensor, outputs: tf.Tensor, weights: tf.Tensor) -> ElementLoss:
        """Computes the loss of each value, float32 `(batch, horizon, targets)`.

        Args:
            labels: Scaled values `(batch, horizon, targets)`.
            outputs: Raw numbers `(batch, horizon, targets, size)`.
            weights: Of the labels' shape; the loss where it is 0 is not used.
        """

    @abstractmethod
    def point(self, outputs: tf.Tensor) -> tf.Tensor:
        """Returns the forecast of least expected loss, `(batch, horizon, targets)`."""

    def quantiles(self, outputs: np.ndarray, levels: Sequence[float]) -> np.ndarray:
        """Returns quantiles `(levels, batch, horizon, targets)`.

        Raises:
            UserError: If the distribution does not have them.
        """
        raise UserError(
            f"levels: {type(self).__name__} has no quantiles; use another task/distribution, or "
            "task.conformal=split."
        )

    def sample(self, outputs: tf.Tensor, uniform: tf.Tensor) -> tf.Tensor:
        """Draws one value for each, `(batch, horizon, targets)`.

        Args:
            outputs: Raw numbers `(batch, horizon, targets, size)`.
            uniform: Random numbers in [0, 1), `(batch, horizon, targets, 2)`.

        Raises:
            UserError: If the distribution cannot be sampled.
        """
        raise UserError(f"samples: {type(self).__name__} cannot be sampled.")


class Point(Distribution):
    """One number for each value, without uncertainty.

    Args:
        loss: `mae`, `mse`, `huber` (quadratic below 1, linear above), or `smape`, which is that of
            the unscaled values, where the scaling takes logarithms.

    Raises:
        ValueError: If the loss is unknown.
    """

    has_quantiles = False

    def __init__(self, loss: Literal["mae", "mse", "huber", "smape"] = "mae") -> None:
        if loss not in LOSSES:
            raise ValueError(f"loss: must be one of {', '.join(LOSSES)}, got {loss!r}")
        self.loss = loss
        self.reads_factor = loss == "smape"
        self.size = 1 + self.reads_factor

    def __call__(self, labels: tf.Tensor, outputs: tf.Tensor, weights: tf.Tensor) -> ElementLoss:
        """Computes the losses."""
        error = tf.abs(labels - self.point(outputs))
        if self.loss == "smape":
            smape = smape_of_logarithms(error, outputs[..., 1])
            return ElementLoss(smape / SMAPE_UNIT, smape)
        if self.loss == "mse":
            error = error**2
        elif self.loss == "huber":
            error = tf.where(error < 1, 0.5 * error**2, error - 0.5)
        return ElementLoss(error, error)

    def point(self, outputs: tf.Tensor) -> tf.Tensor:
        """Returns the number."""
        return tf.cast(outputs[..., 0], tf.float32)


class Gaussian(Distribution):
    """A normal distribution: its mean and its standard deviation."""

    size = 2
    has_divergence = True

    def __call__(
        self, labels: tf.Tensor, outputs: tf.Tensor, weights: tf.Tensor, doubled: bool = False
    ) -> ElementLoss:
        """Computes the negative log-likelihoods.

        Of a batch that is `doubled`, whose second half repeats the first under another dropout
        mask, the objective includes the divergence of both.
        """
        mean, deviation = self._parameters(outputs)
        nll = 0.5 * ((labels - mean) / deviation) ** 2 + tf.math.log(deviation)
        nll += 0.5 * math.log(2 * math.pi)
        if not doubled:
            return ElementLoss(nll, nll)
        apart = _gaussian_divergence(*tf.split(mean, 2), *tf.split(deviation, 2))
        return ElementLoss(nll + self.consistency / 4 * tf.concat([apart, apart], axis=0), nll)

    def point(self, outputs: tf.Tensor) -> tf.Tensor:
        """Returns the mean."""
        return self._parameters(outputs)[0]

    def quantiles(self, outputs: np.ndarray, levels: Sequence[float]) -> np.ndarray:
        """Returns the quantiles."""
        from scipy.special import ndtri

        mean, deviation = (part.numpy() for part in self._parameters(outputs))
        return np.stack([mean + deviation * ndtri(level) for level in levels])

    def sample(self, outputs: tf.Tensor, uniform: tf.Tensor) -> tf.Tensor:
        """Draws one value for each."""
        mean, deviation = self._parameters(outputs)
        return mean + deviation * tf.math.ndtri(_inside(uniform[..., 0]))

    def _parameters(self, outputs: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        mean, raw = tf.unstack(tf.cast(outputs, tf.float32), axis=-1)
        return mean, tf.nn.softplus(raw) + MINIMUM_SCALE


def _gaussian_divergence(
    mean: tf.Tensor, other_mean: tf.Tensor, deviation: tf.Tensor, other_deviation: tf.Tensor
) -> tf.Tensor:
    """Returns KL(p || q) + KL(q || p) of two normal distributions."""
    distance, variance, other = (mean - other_mean) ** 2, deviation**2, other_deviation**2
    return (variance + distance) / (2 * other) + (other + distance) / (2 * variance) - 1


class StudentT(Distribution):
    """A Student t distribution, with heavier tails: location, scale and degrees of freedom.

    The degrees of freedom are above 2, so that the variance is finite.
    """

    size = 3

    def __call__(self, labels: tf.Tensor, outputs: tf.Tensor, weights: tf.Tensor) -> ElementLoss:
        """Computes the negative log-likelihoods."""
        location, scale, freedom = self._parameters(outputs)
        half = (freedom + 1) / 2
        nll = half * tf.math.log1p(((labels - location) / scale) ** 2 / freedom)
        nll += tf.math.lgamma(freedom / 2) - tf.math.lgamma(half)
        nll += 0.5 * tf.math.log(math.pi * freedom) + tf.math.log(scale)
        return ElementLoss(nll, nll)

    def point(self, outputs: tf.Tensor) -> tf.Tensor:
        """Returns the location, which is mean and median."""
        return self._parameters(outputs)[0]

    def quantiles(self, outputs: np.ndarray, levels: Sequence[float]) -> np.ndarray:
        """Returns the quantiles."""
        from scipy.special import stdtrit

        location, scale, freedom = (part.numpy() for part in self._parameters(outputs))
        return np.stack([location + scale * stdtrit(freedom, level) for level in levels])

    def sample(self, outputs: tf.Tensor, uniform: tf.Tensor) -> tf.Tensor:
        """Draws one value for each, by the polar method of Bailey (1994)."""
        location, scale, freedom = self._parameters(outputs)
        radius = freedom * tf.math.expm1(-2 / freedom * tf.math.log(_inside(uniform[..., 0])))
        return location + scale * tf.sqrt(radius) * tf.cos(2 * math.pi * uniform[..., 1])

    def _parameters(self, outputs: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        location, scale, freedom = tf.unstack(tf.cast(outputs, tf.float32), axis=-1)
        return location, tf.nn.softplus(scale) + MINIMUM_SCALE, 2 + tf.nn.softplus(freedom)


class NegativeBinomial(Distribution):
    """A negative binomial distribution of counts (DeepAR, https://arxiv.org/abs/1704.04110).

    The labels are counts divided by the factor of their window; so the scaling must subtract
    nothing: `task.scaling.kind=mean` or `none`, without `log` and `season`.
    """

    size = 3  # mean, dispersion, and the factor of the scale
    reads_factor = True
    has_counts = True

    def __call__(self, labels: tf.Tensor, outputs: tf.Tensor, weights: tf.Tensor) -> ElementLoss:
        """Computes the negative log-likelihoods of the counts."""
        mean, dispersion, factor = self._parameters(outputs)
        counts, shape = labels * factor, 1 / dispersion
        nll = tf.math.lgamma(shape) + tf.math.lgamma(counts + 1) - tf.math.lgamma(counts + shape)
        nll += shape * tf.math.log1p(dispersion * mean)
        nll += counts * tf.math.log((1 + dispersion * mean) / (dispersion * mean))
        return ElementLoss(nll, nll)

    def point(self, outputs: tf.Tensor) -> tf.Tensor:
        """Returns the mean."""
        mean, _, factor = self._parameters(outputs)
        return mean / factor

    def quantiles(self, outputs: np.ndarray, levels: Sequence[float]) -> np.ndarray:
        """Returns the quantiles."""
        from scipy.special import nbdtrik

        mean, dispersion, factor = (part.numpy() for part in self._parameters(outputs))
        shape = 1 / dispersion
        success = shape / (shape + mean)
        # The least count whose probability, with all below, is at least the level.
        counts = [np.ceil(nbdtrik(level, shape, success) - 1e-6) for level in levels]
        return np.stack([np.maximum(count, 0) / factor for count in counts])

    def sample(self, outputs: tf.Tensor, uniform: tf.Tensor) -> tf.Tensor:
        """Draws one count for each, divided by the factor: the inverse of the CDF, by bisection."""
        mean, dispersion, factor = self._parameters(outputs)
        shape, success = 1 / dispersion, 1 / (1 + dispersion * mean)
        low = tf.zeros_like(mean) - 1
        high = 10 + mean + 40 * tf.sqrt(mean * (1 + dispersion * mean))  # beyond any quantile
        for _ in range(BISECTIONS):  # invariant: CDF(low) < u <= CDF(high)
            middle = tf.floor((low + high) / 2)
            reached = tf.math.betainc(shape, middle + 1, success) >= uniform[..., 0]
            low, high = tf.where(reached, low, middle), tf.where(reached, middle, high)
        return tf.math.ceil(high) / factor

    def _parameters(self, outputs: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        mean, dispersion, factor = tf.unstack(tf.cast(outputs, tf.float32), axis=-1)
        mean = factor * (tf.nn.softplus(mean) + 1e-6)
        return mean, tf.nn.softplus(dispersion) + MINIMUM_SCALE, factor


class Quantiles(Distribution):
    """Quantiles without a distribution's shape; they never cross.

    The middle one is a raw number; the others add positive differences, outwards. The loss is
    twice the mean pinball loss over the levels, an approximation of the CRPS.

    Args:
        levels: Increasing, between 0 and 1. The middle one is the point forecast.
        loss: `pinball`; or `smape`, where the scaling takes logarithms: the sMAPE of the middle
            one, in the units of the series, and the pinball losses in unscaled logarithms.

    Raises:
        ValueError: If the levels are not increasing or not between 0 and 1.
    """

    def __init__(
        self,
        levels: Sequence[float] = (0.025, 0.1, 0.25, 0.5, 0.75, 0.9, 0.975),
        loss: Literal["pinball", "smape"] = "pinball",
    ) -> None:
        self.levels = tuple(float(level) for level in levels)
        increasing = all(a < b for a, b in zip(self.levels, self.levels[1:], strict=False))
        if not self.levels or not increasing or not 0 < self.levels[0] <= self.levels[-1] < 1:
            raise ValueError(f"levels: must increase, between 0 and 1, got {list(levels)}")
        if loss not in ("pinball", "smape"):
            raise ValueError(f"loss: must be pinball or smape, got {loss!r}")
        self.loss = loss
        self.reads_factor = loss == "smape"
        self.size = len(self.levels) + self.reads_factor
        self.middle = len(self.levels) // 2

    def __call__(self, labels: tf.Tensor, outputs: tf.Tensor, weights: tf.Tensor) -> ElementLoss:
        """Computes twice the mean pinball loss over the levels."""
        # (batch, horizon, targets, levels)
        errors = labels[..., tf.newaxis] - self._monotone(outputs)
        levels = tf.constant(self.levels, tf.float32)
        pinball = tf.maximum(levels * errors, (levels - 1) * errors)
        loss = 2 * tf.reduce_mean(pinball, axis=-1)
        if self.loss == "pinball":
            return ElementLoss(loss, loss)
        factor = tf.cast(outputs[..., -1], tf.float32)
        smape = smape_of_logarithms(tf.abs(errors[..., self.middle]), factor)
        return ElementLoss(smape / SMAPE_UNIT + SMAPE_UNIT * loss * factor, smape)

    def point(self, outputs: tf.Tensor) -> tf.Tensor:
        """Returns the middle quantile."""
        return tf.cast(outputs[..., self.middle], tf.float32)

    def check_levels(self, levels: Sequence[float]) -> None:
        """Raises a `UserError` for quantiles outside of those that are learnt."""
        if outside := [x for x in levels if not self.levels[0] <= x <= self.levels[-1]]:
            lowest, highest = self.levels[0], self.levels[-1]
            widest = 100 * min(1 - 2 * lowest, 2 * highest - 1)
            raise UserError(
                f"levels: the quantile {outside[0]:g} is outside of those that the model learns, "
                f"{lowest:g} to {highest:g}; intervals can have up to {widest:g} %. For wider "
                "ones, train with wider task.distribution.levels."
            )

    def quantiles(self, outputs: np.ndarray, levels: Sequence[float]) -> np.ndarray:
        """Returns the quantiles; between two levels they are interpolated."""
        self.check_levels(levels)
        own = self._monotone(outputs).numpy()
        return np.stack([_interpolated(own, self.levels, level) for level in levels])

    def sample(self, outputs: tf.Tensor, uniform: tf.Tensor) -> tf.Tensor:
        """Draws from between the quantiles; beyond the outermost ones nothing is drawn."""
        own = self._monotone(outputs)
        u = uniform[..., :1]
        levels = tf.constant(self.levels, tf.float32)
        # own[0] + the part of each interval that lies below u
        parts = tf.clip_by_value((u - levels[:-1]) / (levels[1:] - levels[:-1]), 0.0, 1.0)
        return own[..., 0] + tf.reduce_sum(parts * (own[..., 1:] - own[..., :-1]), axis=-1)

    def _monotone(self, outputs: tf.Tensor) -> tf.Tensor:
        """Maps raw numbers `(..., levels)` to quantiles that increase."""
        raw, middle = tf.cast(outputs[..., : len(self.levels)], tf.float32), self.middle
        centre = raw[..., middle : middle + 1]
        below = tf.cumsum(tf.nn.softplus(raw[..., :middle]), axis=-1, reverse=True)
        above = tf.cumsum(tf.nn.softplus(raw[..., middle + 1 :]), axis=-1)
        return tf.concat([centre - below, centre, centre + above], axis=-1)


def smape_of_logarithms(error: tf.Tensor, factor: tf.Tensor) -> tf.Tensor:
    """Returns the sMAPE, 0 to 200, of absolute errors of logarithms divided by a factor.

    It is exact: `|y - f| / (y + f) = tanh(|log y - log f| / 2)`.
    """
    return 200 * tf.tanh(error * tf.cast(factor, tf.float32) / 2)


def _inside(uniform: tf.Tensor) -> tf.Tensor:
    """Maps [0, 1) into (0, 1), whose ends are infinite quantiles."""
    return uniform + 0.5**24  # half of the distance between two numbers of `uniform`


def _interpolated(values: np.ndarray, levels: Sequence[float], level: float) -> np.ndarray:
    """Returns the quantile of a level from those of others, `(..., levels)` -> `(...)`."""
    upper = int(np.searchsorted(levels, level))
    if levels[upper] == level:
        return np.asarray(values[..., upper])
    share = (level - levels[upper - 1]) / (levels[upper] - levels[upper - 1])
    return np.asarray((1 - share) * values[..., upper - 1] + share * values[..., upper])
