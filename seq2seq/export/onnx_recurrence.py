"""Recurrent layers as operations of ONNX, from the nodes of `ops.recurrent_node`."""

from typing import Any, NamedTuple

import numpy as np
from tf2onnx.graph import Graph, Node
from tf2onnx.utils import make_name

KERAS_TO_ONNX = {"lstm": (0, 3, 1, 2), "gru": (0, 1, 2)}
"""The gates of ONNX (i, o, f, g; z, r, h) by their places in Keras (i, f, g, o; z, r, h)."""


class LayerWeights(NamedTuple):
    """Weights in ONNX' layout, for one direction."""

    kernel: np.ndarray
    """`(1, gates * units, features)`."""
    recurrent_kernel: np.ndarray
    """`(1, gates * units, units)`."""
    bias: np.ndarray
    """`(1, 2 * gates * units)`: added to the input's part, and to the recurrent part."""
    resets_after: bool
    """Whether a GRU resets after the product."""


def convert_recurrence(graph: Graph, node: Node, name: str, arguments: Any) -> None:
    """Replaces a node of `ops.recurrent_node`; a handler of `tf2onnx`."""
    cell = node.get_attr_str("rnn_mode")
    sequences, state_h, state_c, _, lengths = node.input
    units = graph.get_shape(node.output[0])[-1]
    packed = node.inputs[3].get_tensor_value(as_list=False)
    weights = unpacked(cell, packed, units, graph.get_shape(sequences)[-1])

    def constant(value: np.ndarray) -> str:
        return str(graph.make_const(make_name("weights"), value).output[0])

    inputs = [sequences, *map(constant, weights[:3]), lengths, state_h]
    attributes: dict[str, Any] = {"hidden_size": units}
    if cell == "lstm":
        inputs.append(state_c)
    else:
        attributes["linear_before_reset"] = int(weights.resets_after)
    outputs = list(node.output)
    graph.remove_node(node.name)
    count = 3 if cell == "lstm" else 2
    layer = graph.make_node(cell.upper(), inputs, attr=attributes, output_count=count)
    direction = constant(np.array([1], np.int64))  # (time, directions, batch, units)
    hidden = graph.make_node("Squeeze", [layer.output[0], direction])
    for old, new in zip(outputs, [hidden.output[0], *layer.output[1:]], strict=False):
        graph.replace_all_inputs(old, new)


def unpacked(cell: str, packed: np.ndarray, units: int, features: int) -> LayerWeights:
    """Returns the weights of a layer from the vector that `recurrent_node` packs them in."""
    order = KERAS_TO_ONNX[cell]
    rows = packed.reshape(-1, len(order) * units)
    biases = rows[features + units :]  # two of a GRU that resets after the product, else one

    def reordered(values: np.ndarray) -> np.ndarray:
        gates = np.split(values, len(order), axis=-1)
        return np.concatenate([gates[place] for place in order], axis=-1)

    both = np.zeros((2, rows.shape[1]), packed.dtype)
    both[: len(biases)] = reordered(biases)
    kernel, recurrent_kernel = rows[:features], rows[features : features + units]
    return LayerWeights(
        np.ascontiguousarray(reordered(kernel).T[np.newaxis]),
        np.ascontiguousarray(reordered(recurrent_kernel).T[np.newaxis]),
        both.reshape(1, -1),
        len(biases) == 2,
    )
