"""Forecasters: the past of series -> raw numbers of a distribution for each step to come."""

from abc import abstractmethod
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal, NamedTuple

import keras
import tensorflow as tf

from seq2seq.layers.checks import fraction, positive
from seq2seq.layers.configured import ConfiguredLayer
from seq2seq.layers.dense import Dense
from seq2seq.layers.dropout import Dropout
from seq2seq.layers.pooling import AttentionPooling, LastPooling, MaxPooling, MeanPooling
from seq2seq.models.base import SequenceModel, named_layers
from seq2seq.models.encoder import Encoder, named_states
from seq2seq.models.stack import RecurrentStack

POOLINGS = ("last", "mean", "max", "attention")

Feedback = Callable[[tf.Tensor, tf.Tensor], tf.Tensor]
"""Makes scaled values of one or more steps, `(batch, steps, targets)`, from their raw numbers,
`(batch, steps, targets, outputs)`, and the number of the first step, int32 `()`."""


class Forecast(NamedTuple):
    """A forecast without teacher forcing."""

    raw: tf.Tensor
    """Raw numbers of the distribution, float32 `(batch, horizon, targets, outputs)`."""
    values: tf.Tensor
    """The scaled values that were made of them, float32 `(batch, horizon, targets)`."""


class SeriesFeatures(NamedTuple):
    """The sizes of a forecaster's inputs and outputs, which follow from the data and the task."""

    horizon: int
    """Forecast steps in training."""
    targets: int = 1
    """Values of a step."""
    outputs: int = 1
    """Raw numbers of each value."""
    past: int = 1
    """Features of each past step, the targets among them."""
    future: int = 0
    """Features of each forecast step that are known in advance."""
    static: int = 0
    """Features of a series."""
    series: int = 0
    """Series that have an embedding of their own; 0 for none."""
    factor: bool = False
    """Whether the last of the raw numbers is the factor of the window's scale."""
    window: int = 0
    """Features of a window."""


@keras.saving.register_keras_serializable(package="seq2seq")
class AtEachStep(ConfiguredLayer):
    """Concatenates features of the series with those of each step."""

    def call(self, steps: tf.Tensor, features: tf.Tensor) -> tf.Tensor:
        """Maps `(batch, steps, width)` and `(batch, features)` to `(batch, steps, both)`."""
        repeated = tf.repeat(features[:, tf.newaxis], tf.shape(steps)[1], axis=1)
        return tf.concat([steps, tf.cast(repeated, steps.dtype)], axis=-1)


@keras.saving.register_keras_serializable(package="seq2seq")
class RawNumbers(ConfiguredLayer):
    """The output layer: raw numbers of a distribution.

    Args:
        steps: Forecast steps that one vector holds; 0 where each step has a vector of its own.
        targets: Values of a step.
        outputs: Raw numbers of each value, which include the factor, if there is one.
        factor: Whether the last of them is the factor of the window's scale.
        zeros: Whether the weights start as zeros.
    """

    def __init__(
        self,
        steps: int,
        targets: int,
        outputs: int,
        factor: bool,
        zeros: bool = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(autocast=False, **kwargs)  # the factor keeps its digits
        self.steps, self.targets, self.outputs, self.factor = steps, targets, outputs, factor
        units = max(steps, 1) * targets * (outputs - factor)
        initializer = "zeros" if zeros else "glorot_uniform"
        self.dense = Dense(
            units, kernel_initializer=initializer, name="dense", dtype=self.dtype_policy
        )

    def call(self, vectors: tf.Tensor, factor: Any = None) -> tf.Tensor:
        """Maps `(batch, width)`, or `(batch, steps, width)`, to `(batch, steps, targets, outputs)`.

        `factor` is `(batch, targets)`.
        """
        raw = self.dense(vectors)
        steps = self.steps or tf.shape(vectors)[1]
        shape = (-1, steps, self.targets, self.outputs - self.factor)
        raw = tf.cast(tf.reshape(raw, shape), tf.float32)
        if not self.factor:
            return raw
        factor = tf.cast(factor[:, tf.newaxis], tf.float32)
        repeated = tf.broadcast_to(factor, tf.shape(raw)[:-1])
        return tf.concat([raw, repeated[..., tf.newaxis]], axis=-1)


class Forecaster(SequenceModel):
    """Base of all forecasters: their inputs.

    Args:
        features: The sizes of inputs and outputs.
        encoder: Reads the past.
        series_dim: Width of the embedding of each series, where the task asks for one.
        output_dropout: Share of the vector dropped before the output layer.

    Attributes:
        training_model: The inputs -> raw numbers, float32 `(batch, horizon, targets, outputs)`.
            Inputs are `past`, float32 `(batch, context_length, features)`, right-padded;
            `past_length`, int32 `(batch,)`; `target`, float32 `(batch, horizon, targets)`, the
            scaled values one step before each forecast step (teacher forcing; read by
            autoregressive models alone); and where there are such features `future`, float32
            `(batch, horizon, features)`, `static`, float32 `(batch, features)`, `series`, int32
            `(batch,)`, and `factor`, float32 `(batch, targets)`.
        loss_model: The same model.
        feature_model: The same inputs without `target` -> the final states of the encoder by name.
        feeds_back: Whether a step reads the value of the step before, so that any horizon can be
            forecast, and sample paths drawn.

    Raises:
        ValueError: If an argument has an impossible value.
    """

    feeds_back = False

    def __init__(
        self,
        features: SeriesFeatures | Sequence[Any],
        encoder: Encoder,
        series_dim: int = 8,
        output_dropout: float = 0.0,
    ) -> None:
        self.features = SeriesFeatures(*features)
        positive("features.horizon", self.features.horizon)
        positive("series_dim", series_dim)
        fraction("output_dropout", output_dropout)
        self.encoder = encoder
        self.drops = encoder.drops or output_dropout > 0
        self.dropout = Dropout(output_dropout, name="output_dropout")
        self.at_each_step = AtEachStep(name="at_each_step")
        self.embedding = (
            keras.layers.Embedding(self.features.series, series_dim, name="series_embedding")
            if self.features.series
            else None
        )

    def recurrent_layers(self) -> dict[str, keras.layers.Layer]:
        """Returns the recurrent layers of the encoder."""
        return named_layers("encoder", self.encoder.forward_stack, self.encoder.backward_stack)

    @abstractmethod
    def forecast(
        self, inputs: Mapping[str, tf.Tensor], horizon: int, feedback: Feedback
    ) -> Forecast:
        """Forecasts without teacher forcing.

        Args:
            inputs: As those of `training_model`, without `target`.
            horizon: The forecast steps, of which `future` has as many.
            feedback: Makes the values, which the next step reads where the model feeds back.
        """

    def _inputs(self) -> dict[str, Any]:
        """Returns Keras inputs for the features that there are."""
        size = self.features
        inputs = {
            "past": keras.Input((None, size.past), dtype="float32", name="past"),
            "past_length": keras.Input((), dtype="int32", name="past_length"),
            "target": keras.Input((None, size.targets), dtype="float32", name="target"),
        }
        if size.future:
            inputs["future"] = keras.Input((None, size.future), dtype="float32", name="future")
        if size.static:
            inputs["static"] = keras.Input((size.static,), dtype="float32", name="static")
        if size.series:
            inputs["series"] = keras.Input((), dtype="int32", name="series")
        if size.window:
            inputs["window"] = keras.Input((size.window,), dtype="float32", name="window")
        if size.factor:
            inputs["factor"] = keras.Input((size.targets,), dtype="float32", name="factor")
        return inputs

    def _of_series(self, inputs: Mapping[str, Any]) -> Any | None:
        """Returns the features of each series, `(batch, width)`, or None if there are none."""
        parts = [inputs["static"]] if "static" in inputs else []
        if self.embedding is not None:
            parts.append(self.embedding(inputs["series"]))
        return keras.layers.Concatenate()(parts) if len(parts) > 1 else next(iter(parts), None)

    def _encode(self, inputs: Mapping[str, Any]) -> tuple[Any, Any]:
        """Returns the outputs and the final states of the encoder."""
        past, of_series = inputs["past"], self._of_series(inputs)
        if of_series is not None:
            past = self.at_each_step(past, of_series)
        return self.encoder(past, inputs["past_length"])

    def _make_models(self, inputs: dict[str, Any], raw: Any, states: Any) -> None:
        self.training_model = self.loss_model = keras.Model(inputs, raw, name="training")
        past = {name: tensor for name, tensor in inputs.items() if name != "target"}
        self.feature_model = keras.Model(past, named_states("past", states), name="features")


class DirectForecaster(Forecaster):
    """Maps the pooled encoding of the past to all forecast steps at once.

    With a horizon of 1, it is the plain many-to-one model.

    Args:
        features: As of `Forecaster`.
        encoder: As of `Forecaster`.
        pooling: How the encoder's outputs become a vector: any of `last`, `mean`, `max` and
            `attention`; several are concatenated.
        attention_units: Width of the query of attention pooling.
        series_dim: As of `Forecaster`.
        output_dropout: As of `Forecaster`.
        hidden_units: Width of a dense layer before the output layer; 0 for none.
        zero_output: Whether the output layer starts from zeros: from the forecast of the scaling.
    """

    def __init__(
        self,
        features: SeriesFeatures | Sequence[Any],
        encoder: Encoder,
        pooling: Sequence[Literal["last", "mean", "max", "attention"]] = ("last",),
        attention_units: int = 64,
        series_dim: int = 8,
        output_dropout: float = 0.0,
        hidden_units: int = 0,
        zero_output: bool = False,
    ) -> None:
        super().__init__(features, encoder, series_dim, output_dropout)
        self.poolings = poolings(pooling, attention_units, encoder)
        self.hidden = (
            Dense(hidden_units, activation="relu", name="hidden") if hidden_units else None
        )
        size = self.features
        inputs = self._inputs()
        outputs, states = self._encode(inputs)
        vectors = [pooling(outputs, inputs["past_length"]) for pooling in self.poolings]
        if size.future:
            fixed = keras.layers.Reshape((size.horizon * size.future,), name="flat_future")
            vectors.append(fixed(inputs["future"]))
        if (of_series := self._of_series(inputs)) is not None:
            vectors.append(of_series)
        if size.window:
            vectors.append(inputs["window"])
        vector = keras.layers.Concatenate()(vectors) if len(vectors) > 1 else vectors[0]
        if self.hidden is not None:
            vector = self.hidden(self.dropout(vector))
        self.output_layer = RawNumbers(
            size.horizon, size.targets, size.outputs, size.factor, zero_output, name="raw_numbers"
        )
        raw = self.output_layer(self.dropout(vector), inputs.get("factor"))
        self._make_models(inputs, raw, states)

    def forecast(
        self, inputs: Mapping[str, tf.Tensor], horizon: int, feedback: Feedback
    ) -> Forecast:
        """Returns the first steps of the trained horizon."""
        return one_pass(self, inputs, horizon, feedback)


class RepeatForecaster(Forecaster):
    """Repeats the pooled encoding of the past for each step, then recurrent and dense layers.

    Known from Keras as `RepeatVector` and `TimeDistributed`.

    Args:
        features: As of `Forecaster`.
        encoder: As of `Forecaster`.
        decoder: The recurrent layers over the forecast steps.
        pooling: As of `DirectForecaster`.
        attention_units: As of `DirectForecaster`.
        series_dim: As of `Forecaster`.
        output_dropout: As of `Forecaster`.
    """

    def __init__(
        self,
        features: SeriesFeatures | Sequence[Any],
        encoder: Encoder,
        decoder: RecurrentStack,
        pooling: Sequence[Literal["last", "mean", "max", "attention"]] = ("last",),
        attention_units: int = 64,
        series_dim: int = 8,
        output_dropout: float = 0.0,
    ) -> None:
        super().__init__(features, encoder, series_dim, output_dropout)
        self.poolings = poolings(pooling, attention_units, encoder)
        self.decoder, size = decoder, self.features
        self.drops = self.drops or decoder.drops
        inputs = self._inputs()
        outputs, states = self._encode(inputs)
        vectors = [pooling(outputs, inputs["past_length"]) for pooling in self.poolings]
        vector = keras.layers.Concatenate()(vectors) if len(vectors) > 1 else vectors[0]
        if size.window:
            vector = keras.layers.Concatenate(name="with_window")([vector, inputs["window"]])
        steps = keras.layers.RepeatVector(size.horizon, name="repeat")(vector)
        if size.future:
            steps = keras.layers.Concatenate(name="with_future")([steps, inputs["future"]])
        decoded, _ = self.decoder(steps)  # (batch, horizon, units)
        self.output_layer = RawNumbers(
            0, size.targets, size.outputs, size.factor, name="raw_numbers"
        )
        raw = self.output_layer(self.dropout(decoded), inputs.get("factor"))
        self._make_models(inputs, raw, states)

    def recurrent_layers(self) -> dict[str, keras.layers.Layer]:
        """Returns the recurrent layers of encoder and decoder."""
        return super().recurrent_layers() | named_layers("decoder", self.decoder.stack)

    def forecast(
        self, inputs: Mapping[str, tf.Tensor], horizon: int, feedback: Feedback
    ) -> Forecast:
        """Returns the first steps of the trained horizon."""
        return one_pass(self, inputs, horizon, feedback)


def poolings(
    names: Sequence[str], attention_units: int, encoder: Encoder
) -> list[keras.layers.Layer]:
    """Makes pooling layers by their names.

    Raises:
        ValueError: If a name is unknown, or there is none.
    """
    if isinstance(names, str) or not names or not set(names) <= set(POOLINGS):
        raise ValueError(f"pooling: must be a list of some of {', '.join(POOLINGS)}, got {names!r}")
    made: dict[str, Callable[[], keras.layers.Layer]] = {
        "last": lambda: LastPooling(bool(encoder.backward_stack), name="last_pooling"),
        "mean": lambda: MeanPooling(name="mean_pooling"),
        "max": lambda: MaxPooling(name="max_pooling"),
        "attention": lambda: AttentionPooling(attention_units, name="attention_pooling"),
    }
    return [made[name]() for name in dict.fromkeys(names)]


def one_pass(
    model: Forecaster, inputs: Mapping[str, tf.Tensor], horizon: int, feedback: Feedback
) -> Forecast:
    """Runs a model that does not feed back: it ignores `target`."""
    shape = (tf.shape(inputs["past"])[0], model.features.horizon, model.features.targets)
    raw = model.training_model({**inputs, "target": tf.zeros(shape)}, training=False)
    raw = raw[:, :horizon]
    return Forecast(raw, feedback(raw, tf.constant(0)))
