"""LSTM and GRU: Keras' own layers, faster; and both directions at once.

Arguments, weights, configuration, states (`[h, c]`, `[h]`), masks and results are Keras'. Weights
files can be exchanged in both directions. There are two additional arguments, `weight_dropout` and
`zoneout`.
"""

import keras
import tensorflow as tf

from seq2seq.layers.call_recorder import recording
from seq2seq.layers.recurrent_base import Recurrent
from seq2seq.ops.bidirectional import both_directions as run_both_directions


@keras.saving.register_keras_serializable(package="seq2seq")
class LSTM(Recurrent, keras.layers.LSTM):
    """Long short-term memory: `keras.layers.LSTM`, faster.

    It takes the arguments of `keras.layers.LSTM`, has its weights and returns its results. On a
    CPU the loop over time is `ops.recurrent` if the activations are tanh and sigmoid, it is not
    unrolled, and no recurrent dropout is applied. With cuDNN, and in all other cases, the loop is
    Keras'. cuDNN refuses masks other than right padding and rows that are all padding;
    `use_cudnn=False` takes our loop on a GPU too, and that takes any mask.

    Args:
        weight_dropout: Share of the recurrent weights that are zero for a training batch, the same
            ones at each of its steps (DropConnect; Merity et al., 2017,
            https://arxiv.org/abs/1708.02182). Keras' layer has no such argument; all others are
            its own. Needs activations of tanh and sigmoid, and no recurrent dropout.
        zoneout: Probability with which a unit's state stays as it was before a step, drawn for each
            step of a training batch (Krueger et al., 2017, https://arxiv.org/abs/1606.01305); in
            prediction, that share of the state stays, which is the expectation. One number for all
            states, or `[h, c]`, such as `[0.05, 0.5]`. The loop over time is then TensorFlow's,
            which is slower than the compiled kernels. Needs what `weight_dropout` needs.

    Example:
        >>> lstm = LSTM(512, return_sequences=True, return_state=True)
        >>> outputs, state_h, state_c = lstm(np.zeros((64, 20, 256)))
    """


@keras.saving.register_keras_serializable(package="seq2seq")
class GRU(Recurrent, keras.layers.GRU):
    """Gated recurrent unit: `keras.layers.GRU`, faster.

    It takes the arguments of `keras.layers.GRU`, has its weights and returns its results, for both
    values of `reset_after`. See `LSTM` for the loop over time, `weight_dropout` and `zoneout`.

    Example:
        >>> gru = GRU(512, return_sequences=True, return_state=True)
        >>> outputs, state_h = gru(np.zeros((64, 20, 256)))
    """


def both_directions(
    forward: LSTM | GRU,
    backward: LSTM | GRU,
    sequences: tf.Tensor,
    mask: tf.Tensor,
    training: bool | None = False,
) -> tuple[tf.Tensor, list[tf.Tensor], list[tf.Tensor]]:
    """Runs two layers of one cell over the same input, the second of them from its end.

    Args:
        forward: Returns its sequence and its states.
        backward: The same, with `go_backwards`.
        sequences: `(batch, time, features)`.
        mask: Booleans, `(batch, time)`; real steps stand before padding.
        training: Whether dropout is active.

    Returns:
        The outputs of both, in the order of the input, `(batch, time, 2 * units)`; and the last
        states of each, `(batch, units)`.
    """
    layers = (forward, backward)
    as_one = (
        all(layer.built and layer.uses_own_loop(bool(training)) for layer in layers)
        and not any(layer.cell.dropout or layer.is_plain for layer in layers)
        and forward.equations == backward.equations
        and forward.units == backward.units
        and not recording()
    )
    if not as_one:
        sequence, *states = forward(sequences, mask=mask, training=training)
        reverse, *back_states = backward(sequences, mask=mask, training=training)
        return tf.concat([sequence, tf.reverse(reverse, axis=[1])], -1), states, back_states
    dtype = forward.compute_dtype
    weights, back_weights = (layer.op_weights(bool(training)) for layer in layers)
    results = run_both_directions(
        forward.equations, tf.cast(sequences, dtype), weights, back_weights, mask, bool(training)
    )
    sequence, states, back_states = tf.nest.map_structure(lambda x: tf.cast(x, dtype), results)
    return sequence, list(states), list(back_states)
