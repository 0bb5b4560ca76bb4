"""The decoding loop, which drops sources from the batch as soon as they have finished."""

from collections.abc import Callable
from typing import Any

import tensorflow as tf

from seq2seq.decoding.beam_state import TIME_FIELDS, BeamState
from seq2seq.ops.dispatch import SIMPLE_LOOPS, export_runtime

FINISHED_SHARE = 0.25
"""Share of the sources that must have finished before they are dropped from the batch."""

Advance = Callable[[tf.Tensor, BeamState, Any, Any], tuple[BeamState, Any]]
"""`(time, beam, state, sources) -> (beam, state)`."""


def decode_until_finished(
    advance: Advance,
    time: tf.Tensor,
    beam: BeamState,
    state: Any,
    sources: Any,
    max_steps: tf.Tensor,
    end: int,
) -> BeamState:
    """Advances until every hypothesis has ended.

    The inner loop runs until a share of its sources has finished; the outer loop stores the results
    and gathers the remaining sources. So the work shrinks while the graph stays the same. LiteRT
    and OpenVINO, whose loops take a batch of one size, advance all until the last has finished.

    Args:
        advance: Extends all hypotheses by one token.
        time: int32 scalar, tokens that the hypotheses have.
        beam: The hypotheses, `(batch, width, ...)`.
        state: The model's states, a nest of `(batch, width, ...)`.
        sources: What is constant for each source, a nest of `(batch, ...)`.
        max_steps: int32 scalar, to which the time axes of the result are padded.
        end: Id of the end token.
    """

    def one_step(time: tf.Tensor, beam: BeamState, state: Any, sources: Any) -> Any:
        beam, state = advance(time, beam, state, sources)
        return time + 1, beam, state, sources

    if export_runtime() in SIMPLE_LOOPS:
        all_rows = (time, beam, state, sources)
        return tf.while_loop(_any_live, one_step, all_rows, _shapes(all_rows))[1]

    def until_dropped(
        rows: tf.Tensor, results: BeamState, time: tf.Tensor, beam: BeamState, *rest: Any
    ) -> Any:
        variables = (time, beam, *rest)
        time, beam, *rest = tf.while_loop(_few_finished, one_step, variables, _shapes(variables))
        results = tf.nest.map_structure(
            lambda result, new: tf.tensor_scatter_nd_update(result, rows[:, tf.newaxis], new),
            results,
            _pad_time(beam, max_steps, end),
        )
        live = tf.logical_not(tf.reduce_all(beam.finished, axis=1))  # (batch,)
        remaining = tf.where(live)[:, 0]
        rows, beam, *rest = tf.nest.map_structure(
            lambda tensor: tf.gather(tensor, remaining), (rows, beam, *rest)
        )
        return rows, results, time, beam, *rest

    rows = tf.range(tf.shape(beam.finished)[0])
    results = tf.nest.map_structure(tf.zeros_like, _pad_time(beam, max_steps, end))
    variables = (rows, results, time, beam, state, sources)
    return tf.while_loop(
        lambda rows, *_: tf.size(rows) > 0, until_dropped, variables, _shapes(variables)
    )[1]


def _any_live(time: tf.Tensor, beam: BeamState, state: Any, sources: Any) -> tf.Tensor:
    return tf.logical_not(tf.reduce_all(beam.finished))


def _few_finished(time: tf.Tensor, beam: BeamState, state: Any, sources: Any) -> tf.Tensor:
    finished = tf.cast(tf.reduce_all(beam.finished, axis=1), tf.float32)  # (batch,)
    batch = tf.cast(tf.shape(finished)[0], tf.float32)
    return tf.reduce_sum(finished) < tf.maximum(FINISHED_SHARE * batch, 1.0)


def _map_time_fields(beam: BeamState, function: Callable[[str, Any], Any]) -> BeamState:
    fields = {name: getattr(beam, name) for name in TIME_FIELDS}
    return beam._replace(
        **{
            name: function(name, value)
            for name, value in fields.items()
            if not isinstance(value, tuple)
        }
    )


def _pad_time(beam: BeamState, steps: tf.Tensor, end: int) -> BeamState:
    """Pads the time axes to the start token and `steps` more."""

    def pad(name: str, tensor: tf.Tensor) -> tf.Tensor:
        value = end if name == "tokens" else 0
        paddings = [[0, 0]] * len(tensor.shape)
        paddings[2] = [0, steps + 1 - tf.shape(tensor)[2]]
        return tf.pad(tensor, paddings, constant_values=tf.cast(value, tensor.dtype))

    return _map_time_fields(beam, pad)


def _shapes(variables: Any) -> Any:
    """Returns the shapes of loop variables, with batch and time axes of unknown size."""

    def any_batch(tensor: tf.Tensor) -> tf.TensorShape:
        shape = tf.convert_to_tensor(tensor).shape
        return tf.TensorShape([None, *shape[1:]] if shape.rank else [])

    def any_time(name: str, shape: tf.TensorShape) -> tf.TensorShape:
        return tf.TensorShape([*shape[:2], None, *shape[3:]])

    return tuple(
        _map_time_fields(shape, any_time) if isinstance(shape, BeamState) else shape
        for shape in tf.nest.map_structure(any_batch, variables)
    )
