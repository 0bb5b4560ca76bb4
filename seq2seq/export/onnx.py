"""Functions as ONNX files."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import onnx
import tensorflow as tf
import tf2onnx
from tf2onnx.graph import Graph, Node

from seq2seq.errors import UserError
from seq2seq.export.graphs import named_arguments, signature
from seq2seq.export.onnx_recurrence import convert_recurrence
from seq2seq.ops.dispatch import exported_graphs
from seq2seq.ops.recurrent_node import NODE
from seq2seq.tasks.exported import ExportedFunction

OPSET = 18


def write_onnx(
    functions: Sequence[ExportedFunction], folder: Path, precision: str
) -> dict[str, str]:
    """Writes a file for each function; returns the path of each in the folder.

    Raises:
        UserError: If a function has an operation that ONNX has not.
    """
    paths = {}
    for function in functions:
        paths[function.name] = f"{function.name}.onnx"
        onnx.save(converted(function), folder / paths[function.name])
    return paths


def converted(function: ExportedFunction) -> onnx.ModelProto:
    """Converts a function.

    Raises:
        UserError: If it has an operation that ONNX has not.
    """
    inputs = signature(function)
    with exported_graphs("onnx"):
        graph = tf.function(named_arguments(function), input_signature=inputs, autograph=False)
        model, _ = tf2onnx.convert.from_function(
            graph,
            input_signature=inputs,
            opset=OPSET,
            custom_op_handlers={NODE: (convert_recurrence, []), "SelectV2": (_convert_select, [])},
        )
    return model


def _convert_select(graph: Graph, node: Node, name: str, arguments: Any) -> None:
    """Converts `tf.where`; tf2onnx would multiply by 0, which makes NaN of infinity."""
    shapes = [graph.get_shape(node.output[0])]
    dtypes = [graph.get_dtype(node.output[0])]
    inputs, outputs = list(node.input), list(node.output)
    graph.remove_node(node.name)
    graph.make_node("Where", inputs, outputs=outputs, shapes=shapes, dtypes=dtypes)
