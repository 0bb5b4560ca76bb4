"""The decoder: a stack of recurrent layers with initial states and, if wanted, an attention."""

from collections.abc import Callable, Sequence
from typing import Any, Literal, TypedDict

import keras
import tensorflow as tf

from seq2seq.layers.attention import Attention, Memory
from seq2seq.layers.bridge import DecoderStates, StateSpec
from seq2seq.layers.checks import fraction
from seq2seq.layers.configured import ConfiguredLayer, default_policy
from seq2seq.layers.dense import Dense
from seq2seq.layers.dropout import Dropout
from seq2seq.models.recurrent_layers import STATE_FIELDS, layer_widths, recurrent_layer, run_layer
from seq2seq.ops.scan import scan


class Decoded(TypedDict, total=False):
    """The outputs of a decoder; `alignments` only with attention."""

    outputs: tf.Tensor
    """`(batch, steps, units)`."""
    states: DecoderStates
    """The states after the last step."""
    alignments: tf.Tensor
    """Attention weights, float32 `(batch, steps, source_length)`."""


@keras.saving.register_keras_serializable(package="seq2seq")
class Decoder(ConfiguredLayer):
    """Runs recurrent layers from given states over a whole target, or over one token.

    Args:
        cell: `lstm`, `gru`, `layer_norm_lstm` (see `LayerNormLSTM`), `min_gru`, `min_lstm` (see
            `MinGRU`) or `mogrifier_lstm` (see `MogrifierLSTM`).
        units: Units of each layer; a list for a width of each layer.
        layers: Number of stacked layers; None for the length of that list, or 1.
        dropout: Share of inputs dropped before each layer.
        weight_dropout: Share of recurrent weights dropped for a batch, see `LSTM`.
        zoneout: Probability with which a unit's state stays at a step, see `LSTM`.
        attention: The attention, or a function that makes it from the units of its queries.
        attention_layer: The layer whose outputs are the queries. With `top`, the decoder's outputs
            are Luong's attentional states, `tanh(W [context; output])`
            (https://arxiv.org/abs/1508.04025). With `first`, all layers above the first also read
            the context, as in GNMT (https://arxiv.org/abs/1609.08144).
        input_feeding: Whether the first layer also reads the attentional state (with `first`: the
            context) of the step before. Without it, the whole target is attended in one product;
            with it, a compiled loop goes step by step.

    Raises:
        ValueError: If an argument has an impossible value, or two of them do not fit.
    """

    def __init__(
        self,
        cell: str = "lstm",
        units: int | Sequence[int] = 512,
        layers: int | None = None,
        dropout: float = 0.0,
        weight_dropout: float = 0.0,
        zoneout: float | Sequence[float] = 0.0,
        attention: Attention | Callable[[int], Attention] | None = None,
        attention_layer: Literal["top", "first"] = "top",
        input_feeding: bool = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(autocast=False, **kwargs)  # the attention's states stay float32
        widths = layer_widths(units, layers)
        layers = len(widths)
        fraction("dropout", dropout)
        if weight_dropout and input_feeding:
            raise ValueError("weight_dropout: is for a whole target at once: no input_feeding")
        self._check_attention(attention is not None, attention_layer, input_feeding, layers)
        options = {"weight_dropout": weight_dropout, "zoneout": zoneout}
        self.query_layers = 1 if attention_layer == "first" else layers  # below the attention
        with default_policy(self.dtype_policy):
            self.dropout = Dropout(dropout)
            self.stack = [
                recurrent_layer(cell, width, name=f"layer_{layer}", **options)
                for layer, width in enumerate(widths)
            ]
            self.attention: Attention | None = (
                attention
                if attention is None or isinstance(attention, Attention)
                else attention(widths[self.query_layers - 1])
            )
            self.attentional = (
                Dense(widths[-1], activation="tanh", use_bias=False, name="attentional")
                if attention is not None and attention_layer == "top"
                else None
            )
        self.drops = dropout + weight_dropout > 0 or any(self.stack[0].zoneout)
        self.spec = StateSpec(layers, STATE_FIELDS[cell], widths)
        self.input_feeding = input_feeding

    def arguments(self) -> dict[str, Any]:
        """Returns the arguments of the constructor, with the attention itself."""
        return {**super().arguments(), "attention": self.attention}

    @staticmethod
    def _check_attention(attention: bool, layer: str, input_feeding: bool, layers: int) -> None:
        if layer not in ("top", "first"):
            raise ValueError(f"attention_layer: must be top or first, got {layer!r}")
        if not attention and input_feeding:
            raise ValueError("input_feeding: needs an attention, such as model/attention=luong")
        if not attention and layer == "first":
            raise ValueError("attention_layer: needs an attention, such as model/attention=luong")
        if layer == "first" and layers == 1:
            raise ValueError(
                "attention_layer: with 'first' the context is read by the layers above the first, "
                "so it needs 2 layers or more, got layers=1"
            )

    def start(self, states: DecoderStates, memory: Memory) -> DecoderStates:
        """Adds the attention's own initial states, if it has any, as one more entry.

        Args:
            states: A list over layers of field -> `(batch, units)`.
            memory: The result of `attention.prepare`.
        """
        if self.attention is None:
            return states
        carried = self.attention.initial_state(memory)
        if self.input_feeding:
            carried["fed"] = (
                self.attention.initial_context(memory)
                if self.attentional is None
                else keras.ops.zeros_like(states[-1]["h"])
            )
        return [*states, carried] if carried else states

    def call(
        self,
        inputs: tf.Tensor,
        states: DecoderStates,
        memory: Memory | None = None,
        training: bool | None = None,
    ) -> Decoded:
        """Runs the decoder over the given steps.

        Args:
            inputs: Float tensor `(batch, steps, features)`.
            states: From `start`, or the call before.
            memory: The result of `attention.prepare`.
            training: Whether dropout is active.

        Raises:
            ValueError: If the memory is missing, or states do not fit.
        """
        self._check_call(states, memory)

        def decode(inputs: tf.Tensor, states: DecoderStates) -> tuple[Any, DecoderStates]:
            return self._decode(inputs, states, memory, training)

        one_product = not self.input_feeding or inputs.shape[1] == 1
        outputs, states = decode(inputs, states) if one_product else scan(decode, inputs, states)
        return {**outputs, "states": states}

    def _check_call(self, states: DecoderStates, memory: Memory | None) -> None:
        self.spec.check(states)
        if self.attention is None:
            return
        if memory is None:
            raise ValueError("memory: is what the attention reads; its `prepare` makes it")
        if self.input_feeding and "fed" not in (states[self.spec.layers :] or [{}])[0]:
            raise ValueError("states: lack the state of input feeding, which `start` adds")

    def _decode(
        self, inputs: tf.Tensor, states: DecoderStates, memory: Any, training: bool | None
    ) -> tuple[dict[str, tf.Tensor], DecoderStates]:
        """Runs the stack over steps, over one step only if there is input feeding."""
        layers = self.spec.layers
        carried = states[layers] if len(states) > layers else {}
        if self.input_feeding:
            fed = tf.cast(carried["fed"], inputs.dtype)
            inputs = tf.concat([inputs, fed[:, tf.newaxis]], axis=-1)
        outputs, below = self._run(slice(0, self.query_layers), inputs, states, training)
        if self.attention is None:
            return {"outputs": outputs}, below
        context, weights, carried = self.attention(outputs, memory, carried)
        rest = slice(self.query_layers, layers)
        outputs, above = self._run(rest, outputs, states, training, context)
        if self.attentional is not None:
            outputs = self.attentional(tf.concat([context, outputs], axis=-1))
        if self.input_feeding:
            fed = context if self.attentional is None else outputs
            carried = {**carried, "fed": fed[:, 0]}
        finals = [*below, *above, *([carried] if carried else [])]
        return {"outputs": outputs, "alignments": weights}, finals

    def _run(
        self,
        layers: slice,
        inputs: tf.Tensor,
        states: DecoderStates,
        training: bool | None,
        context: tf.Tensor | None = None,
    ) -> tuple[tf.Tensor, DecoderStates]:
        """Runs a slice of the layers; each also reads the context, if there is one."""
        outputs, finals = inputs, []
        for recurrent, state in zip(self.stack[layers], states[layers], strict=True):
            if context is not None:
                outputs = tf.concat([context, outputs], axis=-1)
            outputs = self.dropout(outputs, training=training)
            outputs, final = run_layer(
                recurrent, outputs, state, self.spec.fields, training=training
            )
            finals.append(final)
        return outputs, finals
