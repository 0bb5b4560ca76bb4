"""Greedy search."""

import tensorflow as tf

from seq2seq.decoding.hypotheses import Hypotheses, Step
from seq2seq.decoding.lengths import LengthLimits
from seq2seq.decoding.partial import Choice, Partial
from seq2seq.decoding.rules import Rules
from seq2seq.decoding.strategy import Strategy
from seq2seq.decoding.view import Sources, View
from seq2seq.ops.top_k import argmax

__all__ = ["Greedy", "Hypotheses", "Step"]


class Greedy(Strategy):
    """Takes the most probable token at each step, until every row has ended.

    A row ends with the end token, which is the only one allowed at its own limit:
    `maximum_length_ratio * source_length + maximum_length_extra` tokens.

    Args:
        maximum_length_ratio: Tokens allowed for each source token.
        maximum_length_extra: Tokens allowed on top.
        minimum_length_ratio: Tokens demanded for each source token.
        minimum_length_extra: Tokens demanded on top.
        repetition_penalty: Factor on the log-probability of tokens that a row has already; 1 for
            none.
        no_repeat_ngram_size: n-grams of this size may not come twice in a row; 0 for no such rule.

    Raises:
        ValueError: If an argument has an impossible value, or two of them do not fit.

    Example:
        >>> search = tf.function(Greedy(maximum_length_ratio=1.5))
        >>> found = search(step, state, source_lengths, start=1, end=2)
    """

    def __init__(
        self,
        maximum_length_ratio: float = 2.0,
        maximum_length_extra: int = 10,
        minimum_length_ratio: float = 0.0,
        minimum_length_extra: int = 0,
        repetition_penalty: float = 1.0,
        no_repeat_ngram_size: int = 0,
    ) -> None:
        limits = LengthLimits(
            maximum_length_ratio, maximum_length_extra, minimum_length_ratio, minimum_length_extra
        )
        super().__init__(limits, Rules(repetition_penalty, no_repeat_ngram_size))

    def choose(self, view: View) -> Choice:
        """Chooses the most probable token."""
        best = argmax(view.values, view.peaks)
        tokens = tf.where(view.forced < 0, best, view.forced)
        gains = view.log_probabilities(tokens)
        return Choice(tokens, gains, gains)

    def ranked(self, partial: Partial, sources: Sources) -> tuple[Partial, None]:
        """Returns each row's only hypothesis."""
        return partial, None
