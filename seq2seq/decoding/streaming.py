"""Token streaming: yields each token as soon as it is selected."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import tensorflow as tf

from seq2seq.decoding.beam_state import BeamState, merge_beams, split_beams
from seq2seq.decoding.hypotheses import Step, StepOutput
from seq2seq.decoding.next_token_logits import Sources
from seq2seq.decoding.strategy import Strategy


class Streaming:
    """Greedy search or sampling, token by token, with the same results as the strategy itself.

    Args:
        strategy: A strategy with one hypothesis for each source.
        step: The model's step, without memory.
        end: Id of the end token.

    Raises:
        ValueError: If the strategy keeps several hypotheses, of which none is certain yet, or has a
            shortlist.

    Example:
        >>> for tokens in Streaming(Sampling(), step, end=3)(state, start, lengths, keys):
        ...     print(tokens)
    """

    def __init__(self, strategy: Strategy, step: Step, end: int) -> None:
        if strategy.initial_width > 1 or strategy.returns_multiple or strategy.uses_banks:
            raise ValueError(
                f"decoding: {type(strategy).__name__} with several hypotheses cannot stream "
                "tokens; use Greedy, or Sampling with samples=null"
            )
        if strategy.shortlist:
            raise ValueError("decoding.shortlist: is for translations, which have a source")
        self.strategy, self.step, self.end = strategy, step, end
        self._extend = tf.function(self._next_token, reduce_retracing=True, autograph=False)

    def __call__(
        self, state: Any, start: tf.Tensor, source_lengths: tf.Tensor, keys: tf.Tensor
    ) -> Iterator[np.ndarray]:
        """Searches for a whole batch; arguments as in `Strategy.__call__`.

        Yields:
            The next token of each row, int32 `(batch,)`; the end token where a row has ended. Stops
            when all rows have ended or reached their maximum length.
        """
        sources = self.strategy.sources(source_lengths, keys)
        beam = self.strategy.initial_beam(source_lengths, tf.convert_to_tensor(start))
        for time in tf.range(tf.reduce_max(sources.max_lengths)):
            beam, state = self._extend(time, beam, state, sources)
            yield beam.tokens[:, 0, -1].numpy()
            if tf.reduce_all(beam.finished):
                return

    def _next_token(
        self, time: tf.Tensor, beam: BeamState, state: Any, sources: Sources
    ) -> tuple[BeamState, Any]:
        output = StepOutput(*self.step(merge_beams(beam.tokens[:, :, -1]), state))
        output = output._replace(logits=split_beams(output.logits, 1))
        return self.strategy.extend(time, beam, output, sources, self.end)
