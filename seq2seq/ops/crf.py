"""A linear-chain conditional random field (Lafferty et al., 2001; Lample et al., 2016).

The score of labels y of a sequence of n steps is the sum of their logits and of the transitions
between them: `logits[0, y0] + ... + logits[n-1, yn-1] + transitions[B, y0] + transitions[y0, y1] +
... + transitions[yn-1, B]`, where B, the last row and column of the transitions, stands for what is
before the first and behind the last label. Their probability is the softmax over all sequences of
n labels.

Everywhere logits are `(batch, steps, labels)`, transitions `(labels + 1, labels + 1)`, and lengths,
the real steps of each row, integers `(batch,)`.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import tensorflow as tf

from seq2seq.ops.compile import library
from seq2seq.ops.dispatch import export_runtime, usable
from seq2seq.ops.scan import array_of, empty_array

FORBIDDEN = -1e4
"""The score of a transition that is not allowed: of probability 0, yet finite in a sum."""

_TINY = {tf.float64: 1e-300, tf.float32: 1e-30}


class _Chain(NamedTuple):
    """The results of a forward-backward pass, float64 `(steps, batch, labels)`.

    Potentials and messages are known up to a factor of each step.
    """

    potentials: tf.Tensor
    """The exponentials of the logits."""
    before: tf.Tensor
    """The forward message to each label."""
    after: tf.Tensor
    """The backward message to each label."""
    marginals: tf.Tensor
    """The probability of each label; 0 at padding."""
    weights: tf.Tensor
    """Factors of `before * potentials * after` that give the marginals, `(steps, batch, 1)`."""
    log_normalizer: tf.Tensor
    """Of all label sequences, `(batch,)`; 0 for a row of length 0."""


def negative_log_likelihood(
    logits: tf.Tensor, transitions: tf.Tensor, labels: tf.Tensor, lengths: tf.Tensor
) -> tf.Tensor:
    """Returns minus the log-probability of the labels of each row, float32 `(batch,)`.

    It is 0 for a row of length 0. The gradient is the expected less the observed counts.
    """

    @tf.custom_gradient
    def run(logits: tf.Tensor, transitions: tf.Tensor) -> tuple[tf.Tensor, Callable]:
        chain = _chain(logits, transitions, lengths)
        count, steps = logits.shape[-1], tf.shape(logits)[1]
        real = tf.sequence_mask(lengths, steps, tf.float32)[..., tf.newaxis]
        one_hot = tf.one_hot(labels, count) * real
        path = _with_boundary(one_hot, lengths)
        pairs = (path[:, :-1], path[:, 1:])
        score = tf.reduce_sum(one_hot * logits, [1, 2])
        score += tf.einsum("bti,ij,btj->b", pairs[0], transitions, pairs[1])

        def gradient(d_losses: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
            marginals = tf.cast(_batch_first(chain.marginals), tf.float32)[:, :steps]
            d_logits = (marginals - one_hot) * d_losses[:, tf.newaxis, tf.newaxis]
            observed = tf.einsum("bti,btj->ij", pairs[0] * d_losses[:, None, None], pairs[1])
            expected = _expected_transitions(chain, transitions, lengths, d_losses)
            return d_logits, expected - observed

        return tf.cast(chain.log_normalizer, tf.float32) - score, gradient

    return run(tf.cast(logits, tf.float32), tf.cast(transitions, tf.float32))


def marginals(
    logits: tf.Tensor, transitions: tf.Tensor, lengths: tf.Tensor
) -> tuple[tf.Tensor, tf.Tensor]:
    """Returns the probability of each label at each step, over all labels of the other steps.

    Returns:
        Float32 `(batch, steps, labels)`, 0 at padding; and the log-normalizers of the scores of
        label sequences, `(batch,)`, 0 for a row of length 0. No gradient flows through either.
    """
    chain = _chain(tf.stop_gradient(logits), tf.stop_gradient(transitions), lengths)
    probabilities = tf.cast(_batch_first(chain.marginals), tf.float32)
    return probabilities[:, : tf.shape(logits)[1]], tf.cast(chain.log_normalizer, tf.float32)


def divergence(
    logits: tf.Tensor, others: tf.Tensor, transitions: tf.Tensor, lengths: tf.Tensor
) -> tf.Tensor:
    """Returns KL(p || q) + KL(q || p) of two distributions over label sequences, `(batch,)`.

    p has the logits and q the others, and both the same transitions. So their log-probabilities
    differ by the logits and a constant, and the divergence of all label sequences is exactly the
    sum over steps and labels of `(p's marginal - q's marginal) * (logits - others)`. Float32, 0 for
    a row of length 0; with gradients to logits and transitions.
    """
    both = [tf.cast(each, tf.float32) for each in (logits, others)]
    chains = [_chain(each, tf.cast(transitions, tf.float32), lengths) for each in both]
    one, other = (tf.cast(_batch_first(chain.marginals), tf.float32) for chain in chains)
    steps = tf.shape(logits)[1]
    return tf.reduce_sum((one - other)[:, :steps] * (both[0] - both[1]), axis=[1, 2])


def _chain(logits: tf.Tensor, transitions: tf.Tensor, lengths: tf.Tensor) -> _Chain:
    """Runs the forward and the backward recursion at once (Rabiner, 1989).

    Each row of a step is scaled to a sum of 1, in float64 (LiteRT has float32 only, which keeps
    labels that are less probable by a factor of 1e30): so a step is one product of matrices,
    and labels that are less probable by a factor of 1e300 keep their weight.
    """
    wide = tf.float32 if export_runtime() == "litert" else tf.float64
    logits = tf.cast(logits, wide)
    logits = tf.pad(
        logits, [[0, 0], [0, tf.cast(tf.equal(tf.shape(logits)[1], 0), tf.int32)], [0, 0]]
    )
    peaks = tf.reduce_max(logits, axis=-1, keepdims=True)
    potentials = tf.exp(logits - peaks)
    shift = tf.reduce_max(transitions)
    weights = tf.exp(tf.cast(transitions - shift, wide))
    # The backward recursion is the forward one over reversed steps and transposed transitions.
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
    totals = tf.maximum(tf.reduce_sum(joint, axis=-1, keepdims=True), _TINY[wide])
    steps = tf.range(tf.shape(joint)[0])[:, tf.newaxis]
    real = tf.cast(steps < lengths, wide)
    last = tf.cast(tf.equal(steps, lengths - 1), wide)
    step_weights = tf.expand_dims(real, -1) / totals
    # The scales of all steps count but the last's, whose total includes all steps behind it.
    logs = tf.math.log(scales[:, 0, :, 0]) * (real - last) + tf.math.log(totals[..., 0]) * last
    shifts = tf.transpose(peaks[..., 0]) * real + tf.cast(shift, wide) * (real + last)
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

    Maps potentials `(steps, 2, batch, labels)`, the factors of transitions `(2, labels, labels)`
    and those to the first step `(2, 1, labels)` to the messages to each step, and the sums that
    each step was divided by before it was passed on, `(steps, 2, batch, 1)`.
    """
    steps = tf.shape(potentials)[0]
    inputs, first_step = array_of(potentials), potentials[0]
    arrays = empty_array(steps, first_step), empty_array(steps, first_step[..., :1])

    def body(t: tf.Tensor, message: tf.Tensor, messages: Any, scales: Any) -> tuple[Any, ...]:
        state = message * inputs.read(t)
        scale = tf.maximum(tf.reduce_sum(state, axis=-1, keepdims=True), _TINY[state.dtype])
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
    """Returns the expected count of each transition, `(labels + 1, labels + 1)`, float32."""
    count = transitions.shape[0] - 1
    rows = tf.cast(row_weights, tf.float64)[:, tf.newaxis]
    state = chain.before * chain.potentials
    state /= tf.maximum(tf.reduce_sum(state, axis=-1, keepdims=True), _TINY[state.dtype])
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


def _with_boundary(one_hot: tf.Tensor, lengths: tf.Tensor) -> tf.Tensor:
    """Puts the boundary before the first and behind the last label of each row.

    Maps one-hot labels, zeros at padding, to `(batch, steps + 2, labels + 1)`; rows of length 0 get
    no boundary.
    """
    width = tf.shape(one_hot)[1] + 2
    ends = tf.one_hot(tf.stack([tf.zeros_like(lengths), lengths + 1], axis=1), width)
    boundary = tf.reduce_sum(ends, axis=1) * tf.cast(lengths > 0, tf.float32)[:, tf.newaxis]
    inside = tf.pad(one_hot, [[0, 0], [1, 1], [0, 0]])
    return tf.concat([inside, boundary[..., tf.newaxis]], axis=-1)


def _batch_first(sequences: tf.Tensor) -> tf.Tensor:
    return tf.transpose(sequences, [1, 0, 2])


def most_probable(
    logits: tf.Tensor, transitions: tf.Tensor, lengths: tf.Tensor
) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
    """Finds the best labels of each row, and how probable they are; no gradient.

    Logits and transitions are float32, lengths int32.

    Returns:
        The labels, int32 `(batch, steps)`, 0 at padding; the log-probability of all labels of a row
        together, `(batch,)`, 0 for a row of length 0; and the probability of each of them over all
        labels of the other steps, `(batch, steps)`, 0 at padding.
    """
    if not usable(tf.float32, training=False):
        best, scores = viterbi(logits, transitions, lengths)
        all_marginals, normalizers = marginals(logits, transitions, lengths)
        return best, scores - normalizers, tf.gather(all_marginals, best, batch_dims=2)
    best, scores, probabilities, normalizers = library().seq2seq_best_labels(
        logits=logits, transitions=transitions, lengths=lengths
    )
    for result in (best, probabilities):
        result.set_shape(logits.shape[:2])
    for result in (scores, normalizers):
        result.set_shape(logits.shape[:1])
    return best, scores - normalizers, probabilities


def viterbi(
    logits: tf.Tensor, transitions: tf.Tensor, lengths: tf.Tensor
) -> tuple[tf.Tensor, tf.Tensor]:
    """Finds the best labels of each row (Viterbi, 1967).

    Returns:
        The labels, int32 `(batch, steps)`, 0 at padding; and their scores, float32 `(batch,)`, 0
        for a row of length 0.
    """
    labels, scores = n_best(logits, transitions, lengths, 1)
    return labels[:, 0], scores[:, 0]


def n_best(
    logits: tf.Tensor, transitions: tf.Tensor, lengths: tf.Tensor, n: int
) -> tuple[tf.Tensor, tf.Tensor]:
    """Finds the n best label sequences of each row, best first (Seshadri & Sundberg, 1994).

    Returns:
        The labels, int32 `(batch, n, steps)`, 0 at padding; and their scores, float32 `(batch, n)`.
        Where a row has fewer sequences, as short ones do, the scores of those that do not exist
        are minus infinity.
    """
    steps, by_step, between, first, last = _prepared(logits, transitions)
    batch, count = tf.shape(logits)[0], logits.shape[-1]
    real = tf.transpose(tf.sequence_mask(lengths, steps))
    inputs = array_of(by_step)

    def forward(t: tf.Tensor, scores: tf.Tensor, pointers: Any) -> tuple[Any, ...]:
        # (batch, next label, label * n): every hypothesis of every label, for each next label.
        through = scores[:, tf.newaxis] + tf.transpose(between)[:, :, tf.newaxis]
        through = tf.reshape(through, [batch, count, count * n])
        best, pointer = tf.math.top_k(through, n)
        best += tf.expand_dims(inputs.read(t), -1)
        scores = tf.where(real[t][:, tf.newaxis, tf.newaxis], best, scores)
        return t + 1, scores, pointers.write(t, pointer)

    # At first there is one hypothesis for each label.
    start = tf.expand_dims(first + by_step[0], -1)
    start = tf.pad(start, [[0, 0], [0, 0], [0, n - 1]], constant_values=-float("inf"))
    none = tf.zeros_like(start, tf.int32)
    pointers = empty_array(steps, none).write(0, none)
    _, scores, pointers = tf.while_loop(lambda t, *_: t < steps, forward, (1, start, pointers))

    ends = tf.reshape(scores + last[:, tf.newaxis], [batch, count * n])
    best_scores, place = tf.math.top_k(ends, n)

    def backward(t: tf.Tensor, place: tf.Tensor, places: Any) -> tuple[Any, ...]:
        pointer = tf.reshape(pointers.read(t), [batch, count * n])
        before = tf.gather(pointer, place, batch_dims=1)
        place = tf.where(real[t][:, tf.newaxis], before, place)
        return t - 1, place, places.write(t - 1, place)

    places = empty_array(steps, place).write(steps - 1, place)
    *_, places = tf.while_loop(lambda t, *_: t > 0, backward, (steps - 1, place, places))
    labels = tf.where(tf.expand_dims(real, -1), places.stack() // n, 0)
    empty_scores = tf.concat([tf.zeros(1), tf.fill([n - 1], -float("inf"))], axis=0)
    best_scores = tf.where((lengths > 0)[:, tf.newaxis], best_scores, empty_scores)
    return tf.transpose(labels, [1, 2, 0])[:, :, : tf.shape(logits)[1]], best_scores


def _prepared(logits: tf.Tensor, transitions: tf.Tensor) -> tuple[Any, ...]:
    """Returns the number of steps, at least 1; the logits by step; and the parts of transitions."""
    logits, transitions = tf.cast(logits, tf.float32), tf.cast(transitions, tf.float32)
    no_step = tf.cast(tf.equal(tf.shape(logits)[1], 0), tf.int32)
    by_step = tf.transpose(tf.pad(logits, [[0, 0], [0, no_step], [0, 0]]), [1, 0, 2])
    hard = tf.where(transitions > FORBIDDEN / 2, transitions, -float("inf"))
    return tf.shape(by_step)[0], by_step, hard[:-1, :-1], hard[-1, :-1], hard[:-1, -1]
