"""Tokens that are handed out one by one, against the same search as a whole."""

import numpy as np
import pytest
import tensorflow as tf

from seq2seq.decoding.beam import BeamSearch
from seq2seq.decoding.greedy import Greedy
from seq2seq.decoding.sampling import Sampling
from seq2seq.decoding.streaming import Streaming
from tests.decoding.random_models import END, START, RandomModel

SEEDS, LENGTHS, KEYS = [3, 141, 59, 26], [3, 1, 2, 3], [5, 6, 7, 8]
LIMITS = {"maximum_length_ratio": 2.0, "maximum_length_extra": 2}
STRATEGIES = [
    Greedy(**LIMITS),
    Greedy(**LIMITS, repetition_penalty=1.4, no_repeat_ngram_size=2),
    Greedy(**LIMITS, minimum_length_extra=2),
    Sampling(**LIMITS, seed=4),
    Sampling(**LIMITS, top_k=2, temperature=2.0),
    Sampling(**LIMITS, top_p=0.7, min_p=0.1, repetition_penalty=1.2),
]


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_the_tokens_are_those_of_the_search(strategy):
    model = RandomModel(7)
    keys = tf.constant(KEYS)
    whole = model.run(strategy, SEEDS, LENGTHS, keys=keys)

    def step(tokens, state):
        return model.step(tokens, state, tf.ones((4, 3)))[:2]

    streaming = Streaming(strategy, step, END)
    columns = list(streaming(tf.constant(SEEDS), tf.fill([4], START), tf.constant(LENGTHS), keys))
    found = np.stack(columns, axis=1)
    for row, length in enumerate(whole["lengths"]):
        np.testing.assert_array_equal(found[row, :length], whole["tokens"][row, :length])
        assert (found[row, length:] == END).all()
    assert len(columns) <= max(2 * length + 2 for length in LENGTHS)


@pytest.mark.parametrize("strategy", [BeamSearch(), Sampling(samples=2)])
def test_who_keeps_several_hypotheses_cannot_stream(strategy):
    with pytest.raises(ValueError, match="several hypotheses"):
        Streaming(strategy, lambda tokens, state: (tokens, state), END)
