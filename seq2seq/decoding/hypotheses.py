"""What goes into a search and what comes out: the step function, and hypotheses."""

from collections.abc import Callable
from typing import Any, NamedTuple

import tensorflow as tf


class StepOutput(NamedTuple):
    """What a model says after one more token; a step may return a plain tuple of two or three.

    `rows` are `batch * width`: the hypotheses of one source stand beside each other.

    Attributes:
        logits: `(rows, vocabulary_size)`, any float dtype.
        state: The state after the token, a nest like the one the step was given.
        attention: `(rows, source_length)`, how much each source token was attended to.
    """

    logits: tf.Tensor
    state: Any
    attention: tf.Tensor | None = None


Step = Callable[..., StepOutput | tuple[Any, ...]]
"""`(tokens (rows,), state)` or `(tokens, state, memory)` -> `StepOutput` or a tuple like it.

The state is any nest of tensors with `rows` rows. The memory is what stays the same for a source
(encoder outputs, projected keys, masks): any nest of tensors with `batch` rows. A search never
copies it to several hypotheses, nor from step to step; row `r` belongs to source
`r // (rows // batch)`, so queries reshaped to `(batch, width, units)` attend in one product.
"""


class Hypotheses(NamedTuple):
    """What a search found, one row a source.

    Where several hypotheses for each source were asked for, all have a second axis
    `(batch, n, ...)`: best first from a beam, in the order of drawing from sampling.

    Attributes:
        tokens: int32 `(batch, length)`, without the start token; the end token and all that follows
            it are the end token.
        lengths: int32 `(batch,)`, real tokens of each row, not counting the end token.
        scores: float32 `(batch,)`, the model's log-probability of the tokens and the end token; no
            penalty is in it. -inf where a source has fewer hypotheses than were asked for.
        objectives: float32 `(batch,)`, what a beam ranks by: scores with all penalties.
        token_scores: float32 `(batch, length)`, each token's part of `scores`; 0 after the end.
        alignments: float32 `(batch, length, source_length)`, the step's attention at each token; 0
            after the end.
    """

    tokens: tf.Tensor
    lengths: tf.Tensor
    scores: tf.Tensor
    objectives: tf.Tensor | None = None
    token_scores: tf.Tensor | None = None
    alignments: tf.Tensor | None = None
