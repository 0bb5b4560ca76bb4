"""Recording what recurrent layers are called with, to look inside a model while it runs."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, NamedTuple

import tensorflow as tf


class Call(NamedTuple):
    """One call of a recurrent layer.

    Attributes:
        layer: The layer.
        sequences: `(batch, time, features)`.
        initial_state: The states before the first step, `(batch, units)` each.
        mask: Booleans `(batch, time)`, or `None`.
    """

    layer: Any
    sequences: tf.Tensor
    initial_state: Sequence[tf.Tensor]
    mask: tf.Tensor | None


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
    """Returns whether somebody asks for the calls; a graph has nothing to show yet."""
    return _calls.get() is not None and tf.executing_eagerly()


def record(call: Call) -> None:
    """Keeps a call, if anybody asks for it."""
    calls = _calls.get()
    if calls is not None and recording():
        calls.append(call)
