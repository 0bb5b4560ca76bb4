"""Functions as ONNX files."""

import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import onnx
import tensorflow as tf
import tf2onnx
from onnx import GraphProto, ModelProto, TensorProto, helper, numpy_helper
from tf2onnx.graph import Graph, Node

from seq2seq.export.graphs import named_arguments, signature
from seq2seq.export.onnx_recurrence import convert_recurrence
from seq2seq.models.base import SequenceModel
from seq2seq.ops.dispatch import exported_graphs
from seq2seq.ops.recurrent_node import NODE
from seq2seq.progress import step
from seq2seq.tasks.exported import ExportedFunction, TensorInfo

OPSET = 18
HALVED = 256
"""Weights of fewer numbers stay in float32."""


def write(
    functions: Sequence[ExportedFunction], model: SequenceModel, folder: Path, precision: str
) -> dict[str, dict[str, str]]:
    """Writes each function as `NAME.onnx`; returns the paths."""
    for function in functions:
        path = folder / f"{function.name}.onnx"
        with step(f"writing {path.name}"):
            _write_function(function, path, precision)
    return {function.name: {"file": f"{function.name}.onnx"} for function in functions}


def _write_function(function: ExportedFunction, path: Path, precision: str) -> None:
    """Writes a function as an ONNX file.

    Args:
        function: The function.
        path: The file.
        precision: `float32`; `float16`, of weights alone; or `int8`, of weights and of what they
            are multiplied with, by ONNX Runtime's dynamic quantization.
    """
    model = _converted(function)
    if precision == "float16":
        _halve_weights(model.graph)
    _name_axes(model.graph, function)
    model.producer_name = "seq2seq"
    onnx.checker.check_model(model)
    if precision != "int8":
        onnx.save(model, path)
        return
    from onnxruntime.quantization import QuantType, quantize_dynamic

    with TemporaryDirectory(prefix="seq2seq-export-") as folder, _without_warnings():
        unquantized = Path(folder) / "float32.onnx"
        onnx.save(model, unquantized)
        options = {"EnableSubgraph": True}
        quantize_dynamic(unquantized, path, weight_type=QuantType.QInt8, extra_options=options)


def _converted(function: ExportedFunction) -> ModelProto:
    inputs = signature(function)
    handlers: dict[str, Any] = {NODE: (convert_recurrence, []), "SelectV2": (_convert_select, [])}
    with exported_graphs("onnx"), _without_warnings():
        graph = tf.function(named_arguments(function), input_signature=inputs, autograph=False)
        model, _ = tf2onnx.convert.from_function(
            graph, input_signature=inputs, opset=OPSET, custom_op_handlers=handlers
        )
    converted: ModelProto = model
    return converted


def _convert_select(graph: Graph, node: Node, name: str, arguments: Any) -> None:
    """Converts `tf.where`; tf2onnx would multiply by 0, which makes NaN of infinity."""
    shapes = [graph.get_shape(node.output[0])]
    dtypes = [graph.get_dtype(node.output[0])]
    inputs, outputs = list(node.input), list(node.output)
    graph.remove_node(node.name)
    graph.make_node("Where", inputs, outputs=outputs, shapes=shapes, dtypes=dtypes)


def _name_axes(graph: GraphProto, function: ExportedFunction) -> None:
    """Gives axes that vary the names that the manifest has for them."""
    for values, infos in ((graph.input, function.inputs), (graph.output, function.outputs)):
        for value in values:
            _set_shape(value, infos[value.name])


def _set_shape(value: onnx.ValueInfoProto, info: TensorInfo) -> None:
    shape = value.type.tensor_type.shape
    del shape.dim[:]
    for size in info.shape:
        if isinstance(size, str):
            shape.dim.add().dim_param = size
        else:
            shape.dim.add().dim_value = size


def _halve_weights(graph: GraphProto) -> None:
    """Stores large float32 weights as float16, which a runtime casts back when it loads them."""
    casts = []
    for weight in graph.initializer:
        if weight.data_type != TensorProto.FLOAT or np.prod(weight.dims) < HALVED:
            continue
        name = weight.name
        half = numpy_helper.to_array(weight).astype(np.float16)
        weight.CopyFrom(numpy_helper.from_array(half, f"{name}_float16"))
        casts.append(helper.make_node("Cast", [weight.name], [name], to=TensorProto.FLOAT))
    nodes = [*casts, *graph.node]
    del graph.node[:]
    graph.node.extend(nodes)
    for node in graph.node:
        for attribute in node.attribute:
            if attribute.HasField("g"):
                _halve_weights(attribute.g)


@contextmanager
def _without_warnings() -> Iterator[None]:
    """Keeps converters from reporting shapes that they do not know, and need not."""
    loggers = [logging.getLogger(name) for name in ("tf2onnx", "root", "")]
    levels = [logger.level for logger in loggers]
    try:
        for logger in loggers:
            logger.setLevel(logging.CRITICAL)
        yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
