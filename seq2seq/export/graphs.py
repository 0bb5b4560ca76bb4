"""Exported functions as TensorFlow functions with named arguments."""

import inspect
from collections.abc import Callable

import tensorflow as tf

from seq2seq.tasks.exported import ExportedFunction, Tensors


def named_arguments(function: ExportedFunction) -> Callable[..., Tensors]:
    """Returns a Python function whose arguments have the names of the inputs."""

    def run(*values: tf.Tensor) -> Tensors:
        return function.run(dict(zip(function.inputs, values, strict=True)))

    kind = inspect.Parameter.POSITIONAL_OR_KEYWORD
    parameters = [inspect.Parameter(name, kind) for name in function.inputs]
    run.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    return run


def signature(function: ExportedFunction) -> list[tf.TensorSpec]:
    """Returns the inputs as TensorFlow describes them, with their names."""
    return [
        tf.TensorSpec(info.spec.shape, info.dtype, name) for name, info in function.inputs.items()
    ]
