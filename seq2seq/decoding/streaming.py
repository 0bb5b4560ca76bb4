"""A search that hands out each token as soon as it is chosen."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import tensorflow as tf

from seq2seq.decoding.hypotheses import Step, StepOutput
from seq2seq.decoding.partial import Partial, flat, grown, spread
from seq2seq.decoding.strategy import Strategy
from seq2seq.decoding.view import Sources, view_of


class Streaming:
    """Greedy search or sampling, token by token; the tokens are those of the strategy itself.

    Args:
        strategy: Keeps one hypothesis for each source.
        step: The model's step, without memory.
        end: Id of the end token.

    Raises:
        ValueError: If the strategy keeps several hypotheses, of which none is certain yet.

    Example:
        >>> for tokens in Streaming(Sampling(), step, end=3)(state, start, lengths, keys):
        ...     print(tokens)
    """

    def __init__(self, strategy: Strategy, step: Step, end: int) -> None:
        if strategy.first_width > 1 or strategy.several or strategy.spreads:
            raise ValueError(
                f"decoding: {type(strategy).__name__} with several hypotheses cannot hand out "
                "tokens as it goes; take Greedy, or Sampling with samples=null"
            )
        self.strategy, self.step, self.end = strategy, step, end
        self._advance = tf.function(self._advanced, reduce_retracing=True, autograph=False)

    def __call__(
        self, state: Any, start: tf.Tensor, source_lengths: tf.Tensor, keys: tf.Tensor
    ) -> Iterator[np.ndarray]:
        """Searches for a whole batch.

        Args:
            state: The state before the first step, any nest of tensors with `batch` rows.
            start: The tokens that the first step reads, int32 `(batch,)`.
            source_lengths: int32 `(batch,)`, for the limits.
            keys: int32 `(batch,)`, numbers that tell sources from one another.

        Yields:
            The next token of each row, int32 `(batch,)`; the end token where a row has ended.
            Nothing comes after all rows have ended or reached their limits.
        """
        strategy = self.strategy
        longest = strategy.limits.longest(source_lengths)
        steps = tf.reduce_max(longest)
        sources = Sources(
            source_lengths,
            longest,
            strategy.limits.shortest(source_lengths),
            (),
            strategy.noise(keys, steps + 1),
        )
        none = tf.zeros_like(source_lengths)[:, tf.newaxis]
        partial = Partial(
            tokens=tf.convert_to_tensor(start)[:, tf.newaxis, tf.newaxis],
            lengths=none,
            finished=tf.cast(none, tf.bool),
            scores=tf.cast(none, tf.float32),
            ranking=tf.cast(none, tf.float32) if strategy.rules.change_probabilities else (),
        )
        for time in tf.range(steps):
            partial, state = self._advance(time, partial, state, sources)
            yield partial.tokens[:, 0, -1].numpy()
            if tf.reduce_all(partial.finished):
                return

    def _advanced(
        self, time: tf.Tensor, partial: Partial, state: Any, sources: Sources
    ) -> tuple[Partial, Any]:
        output = StepOutput(*self.step(flat(partial.tokens[:, :, -1]), state))
        logits = spread(output.logits, 1)
        view = view_of(
            logits, partial, sources, time, self.end, self.strategy.rules, raise_missing=False
        )
        return grown(partial, self.strategy.choose(view), None, self.end), output.state
