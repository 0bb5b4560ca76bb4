"""Greedy search."""

import tensorflow as tf

from seq2seq.decoding.beam_state import Continuations
from seq2seq.decoding.next_token_logits import NextTokenLogits
from seq2seq.decoding.strategy import Strategy
from seq2seq.ops.top_k import argmax


class Greedy(Strategy):
    """Takes the most probable token at each step, until every row has ended.

    A row ends with the end token, which is the only one possible at its maximum length:
    `maximum_length_ratio * source_length + maximum_length_extra` tokens. Arguments are those of
    `Strategy`.

    Example:
        >>> search = tf.function(Greedy(maximum_length_ratio=1.5))
        >>> hypotheses = search(step, state, source_lengths, start=1, end=2)
    """

    def select(self, next_token: NextTokenLogits) -> Continuations:
        """Selects the most probable token."""
        best = argmax(next_token.processed, next_token.peaks)  # (batch, width)
        tokens = tf.where(next_token.forced < 0, best, next_token.forced)
        log_probabilities = next_token.log_probabilities(tokens)
        return Continuations(tokens, log_probabilities, log_probabilities)
