"""The step functions here spell: after each letter they favour the next one of the alphabet."""

import numpy as np
import pytest
import tensorflow as tf

from seq2seq.decoding.greedy import Greedy

ALPHABET = "_abcdefghijklmnopqrstuvwxyz."
START, END = 0, len(ALPHABET) - 1


def alphabet_step(tokens, state):
    return 5.0 * tf.one_hot(tokens + 1, len(ALPHABET)), state


def spell(tokens, lengths):
    return ["".join(ALPHABET[i] for i in row[:n]) for row, n in zip(tokens, lengths, strict=True)]


def search(step, state, source_lengths, **limits):
    run = tf.function(lambda lengths: Greedy(**limits)(step, state, lengths, START, END))
    found = run(tf.constant(source_lengths, tf.int32))
    return [part.numpy() for part in (found.tokens, found.lengths, found.scores)]


def test_the_alphabet_is_spelt_to_its_end():
    tokens, lengths, _ = search(alphabet_step, (), [20])
    assert spell(tokens, lengths) == ["abcdefghijklmnopqrstuvwxyz"]
    assert tokens[0, lengths[0]] == END


def test_each_row_has_its_own_limit():
    tokens, lengths, _ = search(
        alphabet_step, (), [2, 4, 1], maximum_length_ratio=1.5, maximum_length_extra=1
    )
    assert spell(tokens, lengths) == ["abcd", "abcdefg", "ab"]
    assert (tokens[0, 4:] == END).all()


def test_the_loop_stops_when_all_rows_have_ended():
    def words(tokens, state):
        countdown = state
        letter = tf.where(countdown == 0, END, 3)
        return 9.0 * tf.one_hot(letter, len(ALPHABET)), countdown - 1

    tokens, lengths, _ = search(words, tf.constant([1, 3]), [100, 100])
    assert spell(tokens, lengths) == ["c", "ccc"]
    assert tokens.shape == (2, 4)  # three letters and the end


def test_scores_are_log_probabilities_of_the_chosen_tokens_and_freeze_at_the_end():
    generator = np.random.default_rng(0)
    table = generator.normal(size=(len(ALPHABET), len(ALPHABET))).astype(np.float32)
    table[:, END] += 1.0

    def table_step(tokens, state):
        return tf.gather(table, tokens) + state["row"], state

    rows = generator.normal(size=(8, len(ALPHABET))).astype(np.float32)
    tokens, lengths, scores = search(table_step, {"row": tf.constant(rows)}, [4] * 8)
    for row in range(8):
        previous, expected, length = START, 0.0, 0
        for time in range(19):
            logits = (table[previous] + rows[row]).astype(np.float64)
            previous = int(logits.argmax()) if time < 18 else END
            expected += logits[previous] - np.log(np.exp(logits).sum())
            assert tokens[row, length] == previous
            if previous == END:
                break
            length += 1
        assert lengths[row] == length
        np.testing.assert_allclose(scores[row], expected, rtol=1e-5)


def test_limits_that_allow_nothing_are_refused():
    with pytest.raises(ValueError, match="one must be above 0"):
        Greedy(maximum_length_ratio=0, maximum_length_extra=0)
