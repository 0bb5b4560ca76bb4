"""A linear-chain conditional random field (Lafferty et al., 2001; Lample et al., 2016).

The score of labels y of a sequence of n steps is the sum of their logits and of the transitions
between them: `logits[0, y0] + ... + logits[n-1, yn-1] + transitions[B, y0] + transitions[y0, y1] +
... + transitions[yn-1, B]`, where B, the last row and column of the transitions, stands for what is
before the first and behind the last label. Their probability is the softmax over all sequences of
n labels.
"""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import keras
import tensorflow as tf

from seq2seq.layers.checks import positive
from seq2seq.layers.configured import ConfiguredLayer

FORBIDDEN = -1e4
"""The score of a transition that is not allowed: of probability 0, yet finite in a sum."""

_TINY = 1e-300


@keras.saving.register_keras_serializable(package="seq2seq")
class CRF(ConfiguredLayer):
    """Learns how well labels follow each other; always in float32.

    Training minimises `negative_log_likelihood` of what the layer returns; `marginals`, `viterbi`
    and `n_best` predict from it.

    Args:
        labels: The number of labels.
        allowed: Booleans `(labels + 1, labels + 1)`: whether label j may follow label i. The last
            row says what may stand first, and the last column what may stand last. `None` allows
            all.

    Raises:
        ValueError: If an argument has an impossible value.

    Example:
        >>> crf = CRF(labels=5)
        >>> scores = crf(np.zeros((2, 7, 5), np.float32))
        >>> loss = negative_log_likelihood(**scores, labels=labels, lengths=np.array([7, 3]))
        >>> best, score = viterbi(**scores, lengths=np.array([7, 3]))
    """

    def __init__(
        self, labels: int, allowed: Sequence[Sequence[bool]] | None = None, **kwargs: Any
    ) -> None:
        super().__init__(**{**kwargs, "dtype": "float32"})
        positive("labels", labels)
        self.labels = labels
        self.allowed = (
            None if allowed is None else [[bool(each) for each in row] for row in allowed]
        )
        if self.allowed is not None:
            _check_allowed(self.allowed, labels)

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        """Makes the transitions; they start at 0, as if labels were independent."""
        if input_shape[-1] != self.labels:
            raise ValueError(f"labels: {self.labels}, but the logits are of {input_shape[-1]}")
        size = self.labels + 1
        self.transitions = self.add_weight(
            name="transitions", shape=(size, size), initializer="zeros"
        )

    def call(self, logits: tf.Tensor) -> dict[str, tf.Tensor]:
        """Returns all that decides on the labels.

        Args:
            logits: `(batch, steps, labels)`.

        Returns:
            The `logits` and the `transitions` `(labels + 1, labels + 1)`, both float32.
        """
        transitions = tf.convert_to_tensor(self.transitions)
        return {
            "logits": tf.cast(logits, tf.float32),
            "transitions": constrained(transitions, self.allowed),
        }


def constrained(transitions: tf.Tensor, allowed: Sequence[Sequence[bool]] | None) -> tf.Tensor:
    """Returns the transitions with `FORBIDDEN` wherever they are not allowed.

    Args:
        transitions: `(labels + 1, labels + 1)`.
        allowed: As `CRF`'s.
    """
    if allowed is None:
        return transitions
    return tf.where(tf.constant(allowed, tf.bool), transitions, FORBIDDEN)


def _check_allowed(allowed: list[list[bool]], labels: int) -> None:
    size = labels + 1
    if len(allowed) != size or any(len(row) != size for row in allowed):
        raise ValueError(
            f"allowed: must be ({size}, {size}) for {labels} labels and the boundary, got "
            f"({len(allowed)}, {len(allowed[0]) if allowed else 0})"
        )
    first = {label for label in range(labels) if allowed[-1][label]}
    last = {label for label in range(labels) if allowed[label][-1]}
    if not first or not last:
        raise ValueError("allowed: no label may stand first, or none last")


class _Chain(NamedTuple):
    """What a pass over the steps in both directions finds; `(steps, batch, labels)`, float64.

    Attributes:
        potentials: The exponentials of the logits, up to a factor of each step.
        before: What the labels before a step give to each of its labels, up to a factor.
        after: The same of the labels behind it.
        marginals: The probability of each label at each step; 0 at padding.
        weights: What divides `before * potentials * after` into the marginals, `(steps, batch, 1)`;
            0 at padding.
        log_normalizer: Of all sequences of labels, `(batch,)`; 0 for a row of length 0.
    """

    potentials: tf.Tensor
    before: tf.Tensor
    after: tf.Tensor
    marginals: tf.Tensor
    weights: tf.Tensor
    log_normalizer: tf.Tensor


def negative_log_likelihood(
    logits: tf.Tensor, transitions: tf.Tensor, labels: tf.Tensor, lengths: tf.Tensor
) -> tf.Tensor:
    """Returns minus the log-probability of the labels of each row.

    The gradient is what the model expects less what it sees: it needs no second pass.

    Args:
        logits: Float32 `(batch, steps, labels)`.
        transitions: Float32 `(labels + 1, labels + 1)`, see `CRF`.
        labels: Integers `(batch, steps)`; those at padding may be anything.
        lengths: Integers `(batch,)`, the real steps of each row.

    Returns:
        Float32 `(batch,)`; 0 for a row of length 0.
    """

    @tf.custom_gradient
    def run(logits: tf.Tensor, transitions: tf.Tensor) -> tuple[tf.Tensor, Callable]:
        chain = _chain(logits, transitions, lengths)
        count, steps = logits.shape[-1], tf.shape(logits)[1]
        real = tf.sequence_mask(lengths, steps, tf.float32)[..., tf.newaxis]
        seen = tf.one_hot(labels, count) * real
        path = _with_boundary(seen, lengths)
        pairs = (path[:, :-1], path[:, 1:])
        score = tf.reduce_sum(seen * logits, [1, 2])
        score += tf.einsum("bti,ij,btj->b", pairs[0], transitions, pairs[1])

        def gradient(d_losses: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
            marginals = tf.cast(_batch_first(chain.marginals), tf.float32)[:, :steps]
            d_logits = (marginals - seen) * d_losses[:, tf.newaxis, tf.newaxis]
            observed = tf.einsum("bti,btj->ij", pairs[0] * d_losses[:, None, None], pairs[1])
            expected = _expected_transitions(chain, transitions, lengths, d_losses)
            return d_logits, expected - observed

        return tf.cast(chain.log_normalizer, tf.float32) - score, gradient

    return run(tf.cast(logits, tf.float32), tf.cast(transitions, tf.float32))


def marginals(
    logits: tf.Tensor, transitions: tf.Tensor, lengths: tf.Tensor
) -> tuple[tf.Tensor, tf.Tensor]:
    """Returns the probability of each label at each step, over all labels of the other steps.

    Args:
        logits: `(batch, steps, labels)`.
        transitions: `(labels + 1, labels + 1)`, see `CRF`.
        lengths: Integers `(batch,)`.

    Returns:
        Float32 `(batch, steps, labels)`, 0 at padding; and what the scores of label sequences are
        normalised by, the logarithm of the sum of their exponentials, `(batch,)`, 0 for a row of
        length 0. No gradient flows through either.
    """
    chain = _chain(tf.stop_gradient(logits), tf.stop_gradient(transitions), lengths)
    found = tf.cast(_batch_first(chain.marginals), tf.float32)[:, : tf.shape(logits)[1]]
    return found, tf.cast(chain.log_normalizer, tf.float32)


def _chain(logits: tf.Tensor, transitions: tf.Tensor, lengths: tf.Tensor) -> _Chain:
    """Goes over the steps in both directions at once (Rabiner, 1989).

    Each row of a step is scaled to a sum of 1, in float64: labels a factor of 1e300 less probable
    than others keep their weight, and a step is one product of matrices rather than a sum of
    exponentials for every pair of labels.
    """
    logits = tf.cast(logits, tf.float64)
    logits = tf.pad(
        logits, [[0, 0], [0, tf.cast(tf.equal(tf.shape(logits)[1], 0), tf.int32)], [0, 0]]
    )
    peaks = tf.reduce_max(logits, axis=-1, keepdims=True)
    potentials = tf.exp(logits - peaks)
    shift = tf.reduce_max(transitions)
    weights = tf.exp(tf.cast(transitions - shift, tf.float64))
    # The way back is the way there over what is reversed, with the transitions turned round.
    both = tf.stack([potentials, tf.reverse_sequence(potentials, lengths, seq_axis=1)])
    between = tf.stack([weights[:-1, :-1], tf.transpose(weights[:-1, :-1])])
    edges = tf.stack([weights[-1:, :-1], tf.transpose(weights[:-1, -1:])])
    messages, scales = _messages(tf.transpose(both, [2, 0, 1, 3]), between, edges)
    before = messages[:, 0]
    after = tf.transpose(
        tf.reverse_sequence(tf.transpose(messages[:, 1], [1, 0, 2]), lengths, seq_axis=1), [1, 0, 2]
    )
    potentials = tf.transpose(potentials, [1, 0, 2])
    joint = before * potentials * after
    totals = tf.maximum(tf.reduce_sum(joint, axis=-1, keepdims=True), _TINY)
    steps = tf.range(tf.shape(joint)[0])[:, tf.newaxis]
    real = tf.cast(steps < lengths, tf.float64)
    last = tf.cast(tf.equal(steps, lengths - 1), tf.float64)
    step_weights = real[..., tf.newaxis] / totals
    # What a step was scaled by counts up to the last, whose total takes in all that is behind it.
    logs = tf.math.log(scales[:, 0, :, 0]) * (real - last) + tf.math.log(totals[..., 0]) * last
    shifts = tf.transpose(peaks[..., 0]) * real + tf.cast(shift, tf.float64) * (real + last)
    return _Chain(
        potentials,
        before,
        after,
        joint * step_weights,
        step_weights,
        tf.reduce_sum(logs + shifts, axis=0),
    )


def _messages(
    potentials: tf.Tensor, between: tf.Tensor, edges: tf.Tensor
) -> tuple[tf.Tensor, tf.Tensor]:
    """Runs the recursion of both directions as one compiled loop.

    Args:
        potentials: `(steps, 2, batch, labels)`, at least one step.
        between: `(2, labels, labels)`, what leads from the labels of a step to those of the next.
        edges: `(2, 1, labels)`, what leads to the labels of the first step.

    Returns:
        What arrives at each step, `(steps, 2, batch, labels)`, and what each step was divided by
        before it was passed on, `(steps, 2, batch, 1)`.
    """
    steps = tf.shape(potentials)[0]
    inputs = _array(steps, potentials.shape[1:]).unstack(potentials)
    arrays = (
        _array(steps, potentials.shape[1:]),
        _array(steps, [*potentials.shape[1:-1], 1]),
    )

    def body(t: tf.Tensor, message: tf.Tensor, messages: Any, scales: Any) -> tuple[Any, ...]:
        state = message * inputs.read(t)
        scale = tf.maximum(tf.reduce_sum(state, axis=-1, keepdims=True), _TINY)
        arrived = tf.matmul(state / scale, between)
        return t + 1, arrived, messages.write(t, message), scales.write(t, scale)

    first = tf.broadcast_to(edges, tf.shape(potentials)[1:])
    *_, messages, scales = tf.while_loop(
        lambda t, *_: t < steps, body, (0, first, *arrays), maximum_iterations=steps
    )
    return messages.stack(), scales.stack()


def _expected_transitions(
    chain: _Chain, transitions: tf.Tensor, lengths: tf.Tensor, row_weights: tf.Tensor
) -> tf.Tensor:
    """Returns how often the model expects each transition, `(labels + 1, labels + 1)`, float32."""
    count = transitions.shape[0] - 1
    rows = tf.cast(row_weights, tf.float64)[:, tf.newaxis]
    state = chain.before * chain.potentials
    state /= tf.maximum(tf.reduce_sum(state, axis=-1, keepdims=True), _TINY)
    arriving = chain.potentials * chain.after * chain.weights * rows
    between = tf.matmul(
        tf.reshape(state[:-1], [-1, count]), tf.reshape(arriving[1:], [-1, count]), transpose_a=True
    )
    between *= tf.exp(tf.cast(transitions[:-1, :-1] - tf.reduce_max(transitions), tf.float64))
    first = tf.reduce_sum(chain.marginals[0] * rows, axis=0)
    steps = tf.range(tf.shape(state)[0])[:, tf.newaxis]
    is_last = tf.cast(tf.equal(steps, lengths - 1), tf.float64)[..., tf.newaxis]
    last = tf.reduce_sum(chain.marginals * is_last * rows, axis=[0, 1])
    inside = tf.concat([between, last[:, tf.newaxis]], axis=1)
    first = tf.pad(first, [[0, 1]])
    return tf.cast(tf.concat([inside, first[tf.newaxis]], axis=0), tf.float32)


def _with_boundary(seen: tf.Tensor, lengths: tf.Tensor) -> tf.Tensor:
    """Puts the boundary before the first and behind the last label of each row.

    Args:
        seen: One-hot labels, `(batch, steps, labels)`, zeros at padding.
        lengths: `(batch,)`; rows of length 0 get no boundary.

    Returns:
        `(batch, steps + 2, labels + 1)`.
    """
    width = tf.shape(seen)[1] + 2
    ends = tf.one_hot(tf.stack([tf.zeros_like(lengths), lengths + 1], axis=1), width)
    boundary = tf.reduce_sum(ends, axis=1) * tf.cast(lengths > 0, tf.float32)[:, tf.newaxis]
    inside = tf.pad(seen, [[0, 0], [1, 1], [0, 0]])
    return tf.concat([inside, boundary[..., tf.newaxis]], axis=-1)


def _array(steps: tf.Tensor, shape: Any) -> tf.TensorArray:
    return tf.TensorArray(tf.float64, steps, element_shape=shape, clear_after_read=False)


def _batch_first(sequences: tf.Tensor) -> tf.Tensor:
    return tf.transpose(sequences, [1, 0, 2])
