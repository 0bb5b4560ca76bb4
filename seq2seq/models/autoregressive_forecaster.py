"""The forecaster that reads its own forecast of the step before: an encoder and a decoder."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import keras
import tensorflow as tf

from seq2seq.layers.bridge import Bridge, StateSpec
from seq2seq.models.base import named_layers
from seq2seq.models.decoder import Decoder
from seq2seq.models.encoder import Encoder
from seq2seq.models.exportable_model import NestedModel
from seq2seq.models.forecaster import Feedback, Forecast, Forecaster, RawNumbers, SeriesFeatures
from seq2seq.ops.scan import scan


class AutoregressiveForecaster(Forecaster):
    """An encoder whose final states become the initial states of a decoder.

    The decoder reads the value of the step before: in training the true one (teacher forcing), in
    prediction the model's own, in one compiled loop. It may attend to the past.

    Args:
        features: As of `Forecaster`.
        encoder: As of `Forecaster`.
        decoder: The decoder.
        bridge: Makes the bridge from the `StateSpec` that the decoder expects.
        series_dim: As of `Forecaster`.
        output_dropout: As of `Forecaster`.

    Attributes:
        encoder_model: The inputs without `target`, `future` and `factor` -> `{states}`, with
            attention also `{memory}`.
        decoder_model: `{target, states}`, with such features `future`, `static`, `series`,
            `factor`, and with attention `memory` -> `{raw, states}`: any number of steps.

    Raises:
        ValueError: If an argument has an impossible value, or encoder and decoder do not fit.
    """

    feeds_back = True

    def __init__(
        self,
        features: SeriesFeatures | Sequence[Any],
        encoder: Encoder,
        decoder: Decoder,
        bridge: Callable[[StateSpec], Bridge],
        series_dim: int = 8,
        output_dropout: float = 0.0,
    ) -> None:
        super().__init__(features, encoder, series_dim, output_dropout)
        self.decoder, self.bridge, size = decoder, bridge(decoder.spec), self.features
        self.drops = self.drops or decoder.drops
        self.output_layer = RawNumbers(
            0, size.targets, size.outputs, size.factor, name="raw_numbers"
        )
        inputs = self._inputs()
        outputs, states = self._encode(inputs)
        start, memory = self.bridge(states), {}
        if decoder.attention is not None:
            memory = decoder.attention.prepare(outputs, inputs["past_length"])
            start = decoder.start(start, memory)
        raw, _ = self._decode(inputs, start, memory)
        self._make_models(inputs, raw, states)
        encoded = {"states": start} | ({"memory": memory} if memory else {})
        not_read = ("target", "future", "factor", "window")
        past = {name: tensor for name, tensor in inputs.items() if name not in not_read}
        self.encoder_model = NestedModel(past, encoded, name="encoder")

        def like(name: str, tensor: Any) -> Any:
            return keras.Input(tensor.shape[1:], dtype=tensor.dtype, name=name)

        step = {name: tensor for name, tensor in inputs.items() if not name.startswith("past")}
        step["states"] = [
            {field: like(f"state_{number}_{field}", tensor) for field, tensor in entry.items()}
            for number, entry in enumerate(start)
        ]
        if memory:
            step["memory"] = {name: like(f"memory_{name}", part) for name, part in memory.items()}
        raw, after = self._decode(step, step["states"], step.get("memory", {}))
        self.decoder_model = NestedModel(step, {"raw": raw, "states": after}, name="decoder")

    def recurrent_layers(self) -> dict[str, keras.layers.Layer]:
        """Returns the recurrent layers of encoder and decoder."""
        return super().recurrent_layers() | named_layers("decoder", self.decoder.stack)

    def _decode(self, inputs: Mapping[str, Any], states: Any, memory: Any) -> tuple[Any, Any]:
        steps = inputs["target"]
        if "future" in inputs:
            steps = keras.layers.Concatenate(name="with_future")([steps, inputs["future"]])
        if (of_series := self._of_series(inputs)) is not None:
            steps = self.at_each_step(steps, of_series)
        if "window" in inputs:
            steps = self.at_each_step(steps, inputs["window"])
        decoded = self.decoder(steps, states, memory)
        raw = self.output_layer(self.dropout(decoded["outputs"]), inputs.get("factor"))
        return raw, decoded["states"]

    def forecast(
        self, inputs: Mapping[str, tf.Tensor], horizon: int, feedback: Feedback
    ) -> Forecast:
        """Returns any number of steps, each from the value of the step before."""
        size, batch = self.features, tf.shape(inputs["past"])[0]
        read = self.encoder_model.input
        encoded = self.encoder_model({name: inputs[name] for name in read}, training=False)
        constant = {k: inputs[k] for k in ("static", "series", "factor", "window") if k in inputs}
        if "memory" in encoded:
            constant["memory"] = encoded["memory"]
        numbers = tf.broadcast_to(tf.range(horizon)[tf.newaxis], (batch, horizon))
        sequences = {"number": numbers}
        if "future" in inputs:
            sequences["future"] = inputs["future"][:, :horizon]
        last = tf.maximum(inputs["past_length"] - 1, 0)
        value = tf.gather(inputs["past"], last, batch_dims=1)[:, tf.newaxis, : size.targets]

        def step(read: dict[str, tf.Tensor], state: Any) -> tuple[Forecast, Any]:
            known = {"future": read["future"]} if "future" in read else {}
            decoded = self.decoder_model(
                {**constant, **known, "target": state["value"], "states": state["states"]},
                training=False,
            )
            value = feedback(decoded["raw"], read["number"][0, 0])
            value = tf.ensure_shape(value, (None, 1, size.targets))
            forecast = Forecast(decoded["raw"], value)
            return forecast, {"value": value, "states": decoded["states"]}

        forecast, _ = scan(step, sequences, {"value": value, "states": encoded["states"]})
        return forecast
