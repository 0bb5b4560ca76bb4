"""The compiled loop around a step, which sources leave as soon as they have ended."""

from collections.abc import Callable
from typing import Any

import tensorflow as tf

from seq2seq.decoding.partial import TIMED, Partial

LEAVING_SHARE = 0.25
"""Share of the sources that must have ended before the others close up."""

Advance = Callable[[tf.Tensor, Partial, Any, Any], tuple[Partial, Any]]
"""`(time, partial, state, sources) -> (partial, state)`."""


def until_finished(
    advance: Advance,
    time: tf.Tensor,
    partial: Partial,
    state: Any,
    sources: Any,
    steps: tf.Tensor,
    end: int,
) -> Partial:
    """Advances until every hypothesis has ended.

    An inner loop runs until a share of its sources has ended; an outer loop writes the results down
    and gathers what is left. So the work shrinks while the graph stays the same.

    Args:
        advance: Takes all hypotheses one token on.
        time: int32 scalar, tokens written before.
        partial: The hypotheses, `(batch, width, ...)`.
        state: The state of each, a nest of `(batch, width, ...)`.
        sources: What stays the same for a source, a nest of `(batch, ...)`.
        steps: int32 scalar, the most tokens that any hypothesis will have, its end included.
        end: Id of the end token.

    Returns:
        All hypotheses, in the order of the sources; time axes reach to `steps`.
    """
    batch = tf.shape(partial.finished)[0]

    def crowded(time: tf.Tensor, partial: Partial, state: Any, sources: Any) -> tf.Tensor:
        ended = tf.cast(tf.reduce_all(partial.finished, axis=1), tf.float32)
        present = tf.cast(tf.shape(ended)[0], tf.float32)
        return tf.reduce_sum(ended) < tf.maximum(LEAVING_SHARE * present, 1.0)

    def stride(time: tf.Tensor, partial: Partial, state: Any, sources: Any) -> Any:
        partial, state = advance(time, partial, state, sources)
        return time + 1, partial, state, sources

    def occupied(numbers: tf.Tensor, *_: Any) -> tf.Tensor:
        return tf.size(numbers) > 0

    def round_of(
        numbers: tf.Tensor, results: Partial, time: tf.Tensor, partial: Partial, *rest: Any
    ) -> Any:
        variables = (time, partial, *rest)
        time, partial, *rest = tf.while_loop(crowded, stride, variables, _shapes(variables))
        rows = numbers[:, tf.newaxis]
        results = tf.nest.map_structure(
            lambda all_, some: tf.tensor_scatter_nd_update(all_, rows, some),
            results,
            _padded(partial, steps, end),
        )
        going = tf.logical_not(tf.reduce_all(partial.finished, axis=1))
        stay = tf.where(going)[:, 0]
        numbers, partial, *rest = tf.nest.map_structure(
            lambda tensor: tf.gather(tensor, stay), (numbers, partial, *rest)
        )
        return numbers, results, time, partial, *rest

    results = tf.nest.map_structure(tf.zeros_like, _padded(partial, steps, end))
    variables = (tf.range(batch), results, time, partial, state, sources)
    return tf.while_loop(occupied, round_of, variables, _shapes(variables))[1]


def _padded(partial: Partial, steps: tf.Tensor, end: int) -> Partial:
    """Fills the time axes up to `steps`."""

    def fill(name: str, tensor: tf.Tensor) -> tf.Tensor:
        if name not in TIMED or isinstance(tensor, tuple):
            return tensor
        length = steps + 1 if name == "tokens" else steps
        paddings = [[0, 0]] * len(tensor.shape)
        paddings[2] = [0, length - tf.shape(tensor)[2]]
        value = end if name == "tokens" else 0
        return tf.pad(tensor, paddings, constant_values=tf.cast(value, tensor.dtype))

    return Partial(**{name: fill(name, value) for name, value in partial._asdict().items()})


def _shapes(variables: Any) -> Any:
    """Returns shapes that leave open what changes: the number of sources, and the time."""

    def open_batch(tensor: tf.Tensor) -> tf.TensorShape:
        return tf.TensorShape([None, *tensor.shape[1:]] if tensor.shape.rank else [])

    def open_time(partial: Partial) -> Partial:
        shapes = tf.nest.map_structure(open_batch, partial)._asdict()
        for name in TIMED:
            if not isinstance(shapes[name], tuple):
                dimensions = shapes[name].as_list()
                shapes[name] = tf.TensorShape([*dimensions[:2], None, *dimensions[3:]])
        return Partial(**shapes)

    return tuple(
        open_time(part)
        if isinstance(part, Partial)
        else tf.nest.map_structure(open_batch, tf.nest.map_structure(tf.convert_to_tensor, part))
        for part in variables
    )
