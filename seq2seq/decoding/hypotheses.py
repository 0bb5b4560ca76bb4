"""What a search calls and returns: the model's step function, and hypotheses."""

from collections.abc import Callable
from typing import Any, NamedTuple

import tensorflow as tf


class StepOutput(NamedTuple):
    """Output of a model's step; a step may also return a plain tuple of two or three.

    `rows` are `batch * width`: the hypotheses of one source are neighbours.

    Attributes:
        logits: `(rows, vocabulary_size)`, any float dtype.
        state: The new state, a nest with the structure of the old one.
        attention: `(rows, source_length)`, attention weights of the source tokens.
    """

    logits: tf.Tensor
    state: Any
    attention: tf.Tensor | None = None


Step = Callable[..., StepOutput | tuple[Any, ...]]
"""`(tokens (rows,), state)` or `(tokens, state, memory)` -> `StepOutput` or a tuple like it.

The state is any nest of tensors with `rows` rows. The memory is constant for each source (encoder
outputs, projected keys, masks): any nest of tensors with `batch` rows. A search never copies it,
neither for several hypotheses nor from step to step; row `r` belongs to source
`r // (rows // batch)`, so queries reshaped to `(batch, width, units)` attend in one product.
"""


class Hypotheses(NamedTuple):
    """The results of a search, one row a source.

    With several hypotheses for each source, all fields have a second axis `(batch, n, ...)`: best
    first from a beam, in the order of drawing from sampling.

    Attributes:
        tokens: int32 `(batch, length)`, without the start token; padded with the end token.
        lengths: int32 `(batch,)`, tokens of each row, not counting the end token.
        scores: float32 `(batch,)`, the model's log-probability of tokens and end token, without
            penalties. -inf where a source has fewer hypotheses than requested.
        objectives: float32 `(batch,)`, scores with all penalties, by which a beam ranks.
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
