"""Bridges: how the encoder's final states become the decoder's initial states."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import keras
from keras import ops

from seq2seq.layers.configured import ConfiguredLayer
from seq2seq.layers.dense import Dense

EncoderStates = Sequence[dict[str, dict[str, Any]]]
"""One entry a layer: direction (`forward`, `backward`) -> field (`h`, `c`) -> `(batch, units)`."""

DecoderStates = list[dict[str, Any]]
"""One entry a layer: field (`h`, for LSTM also `c`) -> tensor of shape `(batch, units)`."""


@keras.saving.register_keras_serializable(package="seq2seq")
@dataclass(frozen=True)
class StateSpec:
    """The states that a decoder starts from.

    Attributes:
        layers: Number of recurrent layers.
        fields: Names of one layer's states: `("h", "c")` for LSTM, `("h",)` for GRU.
        units: Width of each state, or a tuple of those of each layer.
    """

    layers: int
    fields: tuple[str, ...]
    units: int | tuple[int, ...]

    def get_config(self) -> dict[str, Any]:
        """Returns the attributes."""
        units = list(self.units) if isinstance(self.units, tuple) else self.units
        return {"layers": self.layers, "fields": list(self.fields), "units": units}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> "StateSpec":
        """Makes it from its configuration."""
        units = config["units"] if isinstance(config["units"], int) else tuple(config["units"])
        return cls(config["layers"], tuple(config["fields"]), units)

    @property
    def widths(self) -> tuple[int, ...]:
        """The width of each layer's states."""
        return self.units if isinstance(self.units, tuple) else (self.units,) * self.layers

    def check(self, states: DecoderStates) -> None:
        """Raises a ValueError if states differ in layers, fields or units."""
        expected = [dict.fromkeys(self.fields, width) for width in self.widths]
        got = [
            {name: state.shape[-1] or width for name, state in layer.items()}  # or unknown
            for layer, width in zip(states, self.widths, strict=False)
        ]
        if got != expected:
            raise ValueError(f"states: must be of {self}, a list of dicts by field; got {got}")

    def __str__(self) -> str:
        return _description(self.layers, "", self.fields, self.widths)


def _description(layers: int, directions: str, fields: Iterable[str], units: Sequence[int]) -> str:
    """Describes states, whose units are those of each layer."""
    widths = ", ".join(map(str, units if len(set(units)) > 1 else units[:1]))
    return f"{layers} layer(s), {directions}states {'/'.join(fields)} of {widths} units"


EncoderShapes = Sequence[dict[str, dict[str, tuple[int | None, int]]]]
"""The shapes of `EncoderStates`."""


def describe_states(shapes: EncoderShapes) -> str:
    """Describes an encoder's final states, for error messages."""
    directions = " and ".join(shapes[0])
    of_layers = [next(iter(layer.values())) for layer in shapes]  # those of the first direction
    units = [next(iter(fields.values()))[-1] for fields in of_layers]
    return _description(len(shapes), f"{directions}, ", of_layers[0], units)


@keras.saving.register_keras_serializable(package="seq2seq")
class Bridge(ConfiguredLayer):
    """Base class: maps encoder states to those that the decoder expects, `spec`."""

    def __init__(self, spec: StateSpec, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.spec = spec

    def require(self, shapes: EncoderShapes, directions: int, sizes: str) -> None:
        """Raises a ValueError unless the encoder's states, side by side, are the decoder's.

        It is called by `build`, whose errors Keras leaves alone. The error names both sides.
        """
        spec, number = self.spec, "one direction" if directions == 1 else "two directions"
        need = ""
        if len(shapes) != spec.layers or any(len(layer) != directions for layer in shapes):
            need = f"{number} and equal numbers of layers"
        elif any(
            {field: directions * shape[-1] for field, shape in layer["forward"].items()}
            != dict.fromkeys(spec.fields, width)
            for layer, width in zip(shapes, spec.widths, strict=True)
        ):
            need = sizes
        if need:
            raise ValueError(
                f"model.bridge: {type(self).__name__} needs {need}; the encoder gives "
                f"{describe_states(shapes)}, the decoder takes {spec}. "
                "DenseBridge (model/bridge=dense) fits any encoder to any decoder."
            )


@keras.saving.register_keras_serializable(package="seq2seq")
class CopyBridge(Bridge):
    """Hands each layer's states on unchanged, from one direction and the same cell and units."""

    def build(self, states_shape: EncoderShapes) -> None:
        """Refuses an encoder that does not fit."""
        self.require(states_shape, 1, "the same cell and units on both sides")

    def call(self, states: EncoderStates) -> DecoderStates:
        """Maps `(batch, units)` states to the same states, without the direction level."""
        return [dict(layer["forward"]) for layer in states]


@keras.saving.register_keras_serializable(package="seq2seq")
class ConcatenateBridge(Bridge):
    """Joins both directions of a layer: `h = [h_forward; h_backward]`, the same for `c`.

    So the decoder has as many layers of the same cell, twice as wide as one direction.
    """

    def build(self, states_shape: EncoderShapes) -> None:
        """Refuses an encoder that does not fit."""
        need = "the same cell and a decoder twice as wide as one direction"
        self.require(states_shape, 2, need)

    def call(self, states: EncoderStates) -> DecoderStates:
        """Maps pairs of `(batch, units)` states to `(batch, 2 * units)` states."""
        return [
            {
                field: ops.concatenate([layer["forward"][field], layer["backward"][field]], axis=-1)
                for field in self.spec.fields
            }
            for layer in states
        ]


@keras.saving.register_keras_serializable(package="seq2seq")
class DenseBridge(Bridge):
    """One dense projection for every decoder state, from all encoder states together.

    Fits any cell, depth, width and number of directions to any other. The activation `tanh` keeps
    states in an LSTM's usual range.
    """

    def __init__(self, spec: StateSpec, activation: str | None = "tanh", **kwargs: Any) -> None:
        super().__init__(spec, **kwargs)
        # Keras saves the layers of flat lists only: layer by layer, field by field.
        self.projections = [
            Dense(
                width,
                activation=activation,
                dtype=self.dtype_policy,
                name=f"layer_{layer}_{field}",
            )
            for layer, width in enumerate(spec.widths)
            for field in spec.fields
        ]

    def call(self, states: EncoderStates) -> DecoderStates:
        """Maps all states, concatenated to `(batch, width)`, to `(batch, units)` each."""
        together = ops.concatenate(
            [tensor for layer in states for fields in layer.values() for tensor in fields.values()],
            axis=-1,
        )
        projected = iter([dense(together) for dense in self.projections])
        return [
            {field: next(projected) for field in self.spec.fields} for _ in range(self.spec.layers)
        ]


@keras.saving.register_keras_serializable(package="seq2seq")
class ZeroBridge(Bridge):
    """Starts the decoder from zeros: it knows the source by attention alone."""

    def call(self, states: EncoderStates) -> DecoderStates:
        """Maps any states to zeros of shape `(batch, units)`."""
        rows = ops.shape(next(iter(states[0]["forward"].values())))[0]
        return [
            dict.fromkeys(self.spec.fields, ops.zeros((rows, width), dtype=self.compute_dtype))
            for width in self.spec.widths
        ]
