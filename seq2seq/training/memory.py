"""The memory that a training step needs, estimated before the first one."""

import logging
from collections.abc import Iterable

import keras
import numpy as np
import psutil
import tensorflow as tf

from seq2seq.errors import UserError
from seq2seq.training.masked_loss_model import Batch, TrainedModel

log = logging.getLogger(__name__)

GIB = 2**30

BYTES = 4
"""Of an element; most tensors are float32 or int32."""

COPIES = 3
"""How often a step holds a layer's outputs, with gates and gradients: a rough mean."""

NEGLIGIBLE = 0.1
"""The share of the memory below which a rough estimate does, and nothing is traced."""

_WITHOUT_MEMORY = {
    "Const", "ExpandDims", "Identity", "IdentityN", "NoOp", "Placeholder", "ReadVariableOp",
    "Reshape", "Squeeze", "StopGradient",
}  # fmt: skip
"""Operations whose outputs share memory with their inputs, or with variables."""


def check_memory(model: TrainedModel, batch: Batch, limit: float | None) -> None:
    """Warns if a training step needs more memory than there is.

    Args:
        model: The compiled model.
        batch: The largest training batch.
        limit: GiB beyond which the training is refused; None to compare with the free memory.

    Raises:
        UserError: If a limit is given, and the step needs more.
    """
    if limit is None and tf.config.list_physical_devices("GPU"):
        return  # whose memory is another, and whose allocator says itself what it lacks
    have = limit if limit is not None else psutil.virtual_memory().available / GIB
    if rough_memory(model, batch) < NEGLIGIBLE * have:
        return
    need = step_memory(model, batch)
    if need <= have:
        return
    labels = np.shape(batch[1])
    size = " x ".join(f"{axis:,}" for axis in labels)
    text = (
        f"the largest training batch (labels {size}) needs about {need:.1f} GiB, and "
        f"{'trainer.memory_limit is' if limit is not None else 'free are'} {have:.1f}. Lower "
        "batching.batch_size, or leave long rows out with batching.maximum_length."
    )
    if limit is not None:
        raise UserError(f"Memory: {text}")
    log.warning("memory: %s", text)


def rough_memory(model: keras.Model, batch: Batch) -> float:
    """Returns about what `step_memory` does, from the sizes of batch and layers alone."""
    outputs = (tf.nest.flatten(layer.output) for layer in model.layers if layer.built)
    width = sum(int(tensor.shape[-1] or 1) for tensors in outputs for tensor in tensors
                if len(tensor.shape))  # fmt: skip
    return COPIES * BYTES * _tokens(batch) * width / GIB


def step_memory(model: TrainedModel, batch: Batch) -> float:
    """Returns about how much memory a training step needs, in GiB, without running it.

    It is traced for the shapes of the batch. The sum over the outputs of its operations counts
    those, too, that are freed before others are allocated, but not what operations need within. An
    axis of unknown size, such as that of distinct tokens, counts as all tokens of the batch.
    """
    signature = tf.nest.map_structure(lambda array: tf.TensorSpec(array.shape, array.dtype), batch)
    step = tf.function(model.checked_step, autograph=False).get_concrete_function(signature)
    graph = step.graph.as_graph_def(add_shapes=True)
    functions = (function.node_def for function in graph.library.function)
    nodes = [*graph.node, *(node for body in functions for node in body)]
    return BYTES * _elements(nodes, _tokens(batch)) / GIB


def _tokens(batch: Batch) -> int:
    """Returns the tokens of the largest array of a batch, padding included."""
    arrays = [np.asarray(array) for array in tf.nest.flatten(batch)]
    return max(int(np.prod(array.shape[:2])) for array in arrays)


def _elements(nodes: Iterable[tf.compat.v1.NodeDef], unknown: int) -> int:
    """Returns the elements of the outputs of operations; the axes of unknown size count as one."""
    elements = 0
    for node in nodes:
        if node.op in _WITHOUT_MEMORY:
            continue
        for shape in node.attr["_output_shapes"].list.shape:
            if not shape.unknown_rank:
                known = [axis.size for axis in shape.dim if axis.size >= 0]
                is_known = len(known) == len(shape.dim)
                elements += int(np.prod(known, dtype=np.int64)) * (1 if is_known else unknown)
    return elements
