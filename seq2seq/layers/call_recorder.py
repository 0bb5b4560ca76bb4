"""Records the calls of recurrent layers, to look inside a model while it runs."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, NamedTuple

import tensorflow as tf


class Call(NamedTuple):
    """One call of a recurrent layer."""

    layer: Any
    sequences: tf.Tensor
    """`(batch, time, features)`."""
    initial_state: Sequence[tf.Tensor]
    """The states before the first step, `(batch, units)` each."""
    mask: tf.Tensor | None
    """Booleans `(batch, time)`, or `None`."""


_calls: ContextVar[list[Call] | None] = ContextVar("calls", default=None)


@contextmanager
def recorded_calls() -> Iterator[list[Call]]:
    """Records the calls of all recurrent layers of this package, in order, while eager.

    Example:
        >>> with recorded_calls() as calls:
        ...     translator.encoder_model(inputs)
        >>> cell = calls[0].layer.state_sequences(*calls[0][1:])["cell"]
    """
    calls: list[Call] = []
    token = _calls.set(calls)
    try:
        yield calls
    finally:
        _calls.reset(token)


def recording() -> bool:
    """Returns whether calls are being recorded; a graph being traced has no values to record."""
    return _calls.get() is not None and tf.executing_eagerly()


def record(call: Call) -> None:
    """Records a call, within `recorded_calls`."""
    calls = _calls.get()
    if calls is not None and recording():
        calls.append(call)
