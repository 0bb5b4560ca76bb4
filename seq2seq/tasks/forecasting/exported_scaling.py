"""The scaling of windows as a part of an exported graph: `WindowScaling` in TensorFlow."""

from typing import NamedTuple

import tensorflow as tf

from seq2seq.data.series_scaling import WindowScaling


class GraphScale(NamedTuple):
    """How windows are scaled, see `seq2seq.data.series_scaling.Scale`; all float32."""

    past_offset: tf.Tensor
    """`(batch, context_length)`."""
    future_offset: tf.Tensor
    """`(batch, horizon)`."""
    factor: tf.Tensor
    """`(batch, 1)`."""


def fitted_scale(
    scaling: WindowScaling,
    values: tf.Tensor,
    observed: tf.Tensor,
    season_length: int,
    horizon: int,
) -> GraphScale:
    """Fits the scale of windows as `WindowScaling.fit`.

    Args:
        scaling: The scaling.
        values: float32 `(batch, context_length)`, of which the logarithm is taken already.
        observed: Whether each is a value, not padding and not missing, of the same shape.
        season_length: The steps of a season.
        horizon: The steps of the forecast.
    """
    past, known = tf.zeros_like(values), observed
    future = tf.zeros((tf.shape(values)[0], horizon))
    if scaling.season == "difference":
        past, known, future = _seasons_before(values, observed, season_length, horizon)
    differences = tf.where(known, values - past, 0.0)
    offset, factor = _moments(scaling.kind, differences, known)
    past_offset = tf.where(known, past + offset, values)
    usable = tf.math.is_finite(factor) & (factor > 1e-12 * tf.maximum(1e-12, tf.abs(offset)))
    return GraphScale(past_offset, future + offset, tf.where(usable, factor, 1.0))


def _moments(kind: str, values: tf.Tensor, known: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Returns offset and factor, `(batch, 1)` each; values are 0 where they are not known."""
    weights = tf.cast(known, tf.float32)
    count = tf.maximum(tf.reduce_sum(weights, axis=1, keepdims=True), 1.0)

    def mean(of: tf.Tensor) -> tf.Tensor:
        return tf.reduce_sum(of * weights, axis=1, keepdims=True) / count

    match kind:
        case "mean":
            return tf.zeros_like(count), mean(tf.abs(values))
        case "standard":
            offset = mean(values)
            return offset, tf.sqrt(mean((values - offset) ** 2))
        case "robust":
            low, middle, high = (_percentile(values, known, share) for share in (0.25, 0.5, 0.75))
            return middle, high - low
        case "last":
            offset = last_values(values, known)
            return offset, mean(tf.abs(values - offset))
    return tf.zeros_like(count), tf.ones_like(count)


def _percentile(values: tf.Tensor, known: tf.Tensor, share: float) -> tf.Tensor:
    """Returns the percentile of the known values of each row, `(batch, 1)`, interpolated."""
    steps = tf.shape(values)[1]
    ordered = -tf.math.top_k(tf.where(known, -values, -float("inf")), steps).values
    count = tf.reduce_sum(tf.cast(known, tf.int32), axis=1, keepdims=True)
    place = share * tf.cast(tf.maximum(count - 1, 0), tf.float32)
    low = tf.cast(tf.floor(place), tf.int32)
    high = tf.minimum(low + 1, tf.maximum(count - 1, 0))
    ends = [_taken(ordered, index) for index in (low, high)]
    return ends[0] + (place - tf.floor(place)) * (ends[1] - ends[0])


def last_values(values: tf.Tensor, known: tf.Tensor) -> tf.Tensor:
    """Returns the last known value of each row, `(batch, 1)`; 0 where there is none."""
    steps = tf.range(tf.shape(values)[1])
    last = tf.reduce_max(tf.where(known, steps, -1), axis=1, keepdims=True)
    return tf.where(last >= 0, _taken(values, tf.maximum(last, 0)), 0.0)


def _taken(values: tf.Tensor, places: tf.Tensor) -> tf.Tensor:
    """Returns the values of each row at some places, both `(batch, places)`."""
    return tf.gather(values, places, batch_dims=1)


def _seasons_before(
    values: tf.Tensor, observed: tf.Tensor, season_length: int, horizon: int
) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
    """Returns the value of one season before each step, whether it is known, and for the future.

    Known are steps whose own value and whose value one season before are observed.
    """
    steps = tf.shape(values)[1]
    padding = [[0, 0], [season_length, 0]]
    before = tf.pad(tf.where(observed, values, 0.0), padding)[:, :steps]
    known = observed & tf.pad(observed, padding)[:, :steps]
    lengths = 1 + tf.reduce_max(tf.where(observed, tf.range(steps), -1), axis=1, keepdims=True)
    places = lengths - season_length + tf.range(horizon) % season_length  # (batch, horizon)
    inside = tf.maximum(places, 0)
    missing = (places < 0) | ~_taken(observed, inside)
    seasonal = tf.where(missing, last_values(values, observed), _taken(values, inside))
    return before, known, seasonal
