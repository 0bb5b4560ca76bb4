"""Ensembles against averages in numpy."""

import numpy as np
import pytest
import tensorflow as tf

from seq2seq.decoding.beam import BeamSearch
from seq2seq.decoding.ensemble import Ensemble
from tests.decoding.random_models import END, START, RandomModel

SEEDS, LENGTHS = [3, 141, 59], [3, 1, 2]


def search(strategy, step, models, **arguments):
    count = len(models)
    memory = tf.sequence_mask(LENGTHS, 3, tf.float32)
    found = tf.function(strategy)(
        step,
        (tf.constant(SEEDS),) * count,
        tf.constant(LENGTHS),
        START,
        END,
        memory=(memory,) * count,
        **arguments,
    )
    return {k: v.numpy() for k, v in found._asdict().items() if v is not None}


@pytest.mark.parametrize("average", ["probabilities", "log_probabilities"])
def test_scores_and_alignments_are_averages(average):
    models = [RandomModel(seed, vocabulary=9) for seed in (1, 2, 3)]
    strategy = BeamSearch(beam_size=4, n_best=3, maximum_length_ratio=0.0, maximum_length_extra=6)
    step = Ensemble([model.step for model in models], average)
    found = search(strategy, step, models, alignments=True)
    for row, seed in enumerate(SEEDS):
        for place in range(3):
            length = found["lengths"][row, place]
            tokens = [*found["tokens"][row, place, :length].tolist(), END]
            score = 0.0
            for time, token in enumerate(tokens):
                looks = [model.look(seed, tokens[:time]) for model in models]
                each = np.array([gains for gains, _ in looks])
                if average == "probabilities":
                    score += np.log(np.exp(each).mean(axis=0)[token])
                else:
                    mean = each.mean(axis=0)
                    score += mean[token] - np.log(np.exp(mean).sum())
                real = LENGTHS[row]
                weights = [weight[:real] / weight[:real].sum() for _, weight in looks]
                np.testing.assert_allclose(
                    found["alignments"][row, place, time, :real],
                    np.mean(weights, axis=0),
                    atol=1e-5,
                )
            np.testing.assert_allclose(found["scores"][row, place], score, atol=1e-4)


def test_an_ensemble_of_one_model_twice_is_that_model():
    model = RandomModel(4, vocabulary=9)
    strategy = BeamSearch(beam_size=3, maximum_length_ratio=0.0, maximum_length_extra=6)
    alone = model.run(strategy, SEEDS, LENGTHS)
    twice = search(strategy, Ensemble([model.step] * 2), [model] * 2)
    for name, value in alone.items():
        np.testing.assert_allclose(twice[name], value, atol=1e-5)


def test_models_with_and_without_memory_go_together():
    model = RandomModel(4, vocabulary=9)

    def bare(tokens, state):
        return tf.zeros([tf.shape(tokens)[0], 9]), state

    step = Ensemble([model.step, bare])
    memory = tf.ones([2, 3])
    output = step(tf.constant([0, 0]), (tf.constant([3, 4]), tf.zeros([2])), (memory, ()))
    expected = np.log(np.exp(model.look(3, ())[0]) / 2 + 1 / 18)
    np.testing.assert_allclose(output.logits[0], expected, atol=1e-5)
    assert output.attention is not None


def test_what_does_not_fit_is_refused():
    with pytest.raises(ValueError, match="steps"):
        Ensemble([])
    with pytest.raises(ValueError, match="average"):
        Ensemble([RandomModel(1).step], "votes")
    models = [RandomModel(1, vocabulary=5), RandomModel(1, vocabulary=6)]
    with pytest.raises(ValueError, match="one vocabulary"):
        search(BeamSearch(), Ensemble([model.step for model in models]), models)
    with pytest.raises(ValueError, match="states"):
        Ensemble([RandomModel(1).step] * 2)(tf.constant([0]), (tf.constant([0]),))
