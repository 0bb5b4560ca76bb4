"""Samples against the distribution that the model's own numbers give."""

from collections import Counter

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from seq2seq.decoding.random_numbers import threefry, uniform
from seq2seq.decoding.sampling import Sampling
from tests.decoding.random_models import END, Options, RandomModel

SEEDS, SOURCE_LENGTHS = [3, 141, 59, 26], [3, 1, 2, 3]
KEYS = [10, 11, 12, 13]


def draw(model, rows=range(4), keys=KEYS, **arguments):
    sampling = Sampling(maximum_length_ratio=0.0, maximum_length_extra=3, **arguments)
    return model.run(
        sampling,
        [SEEDS[i] for i in rows],
        [SOURCE_LENGTHS[i] for i in rows],
        keys=tf.constant([keys[i] for i in rows]),
    )


def words(answer, row=0):
    return [
        tuple(tokens[:length])
        for tokens, length in zip(answer["tokens"][row], answer["lengths"][row], strict=True)
    ]


def assert_drawn_from(counts, probabilities):
    """A chi-square test, as strict as one in some millions of honest runs would fail."""
    total = sum(counts.values())
    assert set(counts) <= {k for k, p in probabilities.items() if p > 0}
    expected = {k: total * p for k, p in probabilities.items() if total * p >= 5}
    statistic = sum((counts[k] - e) ** 2 / e for k, e in expected.items())
    freedom = len(expected)
    assert statistic < freedom + 5 * np.sqrt(2 * freedom) + 10


def test_sampled_sequences_have_the_frequencies_of_the_model():
    model = RandomModel(5)
    answer = draw(model, [0], samples=20_000)
    every = model.enumerate(SEEDS[0], SOURCE_LENGTHS[0], Options(maximum=3))
    at_the_limit = {
        f.tokens: np.exp(f.score - (f.gains[-1] if len(f.tokens) == 3 else 0)) for f in every
    }
    assert abs(sum(at_the_limit.values()) - 1) < 1e-6
    assert_drawn_from(Counter(words(answer)), at_the_limit)
    scores = {f.tokens: f.score for f in every}
    np.testing.assert_allclose(
        answer["scores"][0], [scores[word] for word in words(answer)], atol=1e-4
    )


def cut(probabilities, temperature, top_k, top_p, min_p):
    """The distribution as the definitions of the cuts say, token by token."""
    p = probabilities ** (1 / temperature)
    order = [int(i) for i in np.argsort(-p)]
    if top_k:
        order = order[:top_k]
    share = p[order] / p[order].sum()
    order = [t for t, before in zip(order, np.cumsum(share) - share, strict=True) if before < top_p]
    order = [t for t in order if p[t] >= min_p * p[order[0]]]
    return {t: p[t] / p[order].sum() for t in order}


@settings(max_examples=10, deadline=None, derandomize=True)
@given(
    seed=st.integers(0, 10**6),
    temperature=st.sampled_from([1.0, 0.5, 2.0]),
    top_k=st.sampled_from([0, 1, 3, 50]),
    top_p=st.sampled_from([1.0, 0.8, 0.3]),
    min_p=st.sampled_from([0.0, 0.2]),
)
def test_cuts_alone_and_together(seed, temperature, top_k, top_p, min_p):
    model = RandomModel(seed, vocabulary=7)
    answer = draw(
        model,
        [1],
        samples=3000,
        seed=seed,
        temperature=temperature,
        top_k=top_k,
        top_p=top_p,
        min_p=min_p,
    )
    gains, _ = model.look(SEEDS[1], ())
    first = Counter(word[0] if word else END for word in words(answer))
    assert_drawn_from(first, cut(np.exp(gains), temperature, top_k, top_p, min_p))


def test_a_seed_fixes_the_samples_and_another_gives_others():
    model = RandomModel(5, vocabulary=30)
    first, again = (draw(model, samples=20, seed=4) for _ in range(2))
    other = draw(model, samples=20, seed=5)
    for name, value in first.items():
        np.testing.assert_array_equal(again[name], value)
    assert (first["scores"] != other["scores"]).mean() > 0.9
    assert len(set(words(first))) > 10


def test_samples_do_not_depend_on_company_place_or_number():
    model = RandomModel(5, vocabulary=30)
    together = draw(model, samples=6)
    for rows in ([2], [3, 0], [1, 2, 3, 0]):
        answer = draw(model, rows, samples=4)
        for place, row in enumerate(rows):
            assert words(answer, place) == words(together, row)[:4]


def test_rows_of_the_same_source_differ_by_their_keys():
    model = RandomModel(5, vocabulary=30)
    answer = model.run(
        Sampling(samples=10), [3] * 3, [2] * 3, keys=tf.constant([7, 7, 8]), compiled=True
    )
    assert words(answer, 0) == words(answer, 1) != words(answer, 2)


def test_one_sample_has_no_axis_of_its_own():
    answer = draw(RandomModel(5))
    assert answer["scores"].shape == (4,)
    assert answer["tokens"].ndim == 2


def test_threefry_gives_the_numbers_of_its_authors():
    def word(key, counter):
        key, counter = (tuple(tf.constant(w, tf.uint32) for w in pair) for pair in (key, counter))
        return int(threefry(key, counter))

    most = 0xFFFFFFFF
    assert word((0, 0), (0, 0)) == 0x6B200159
    assert word((most, most), (most, most)) == 0x1CB996FC
    assert word((0x13198A2E, 0x03707344), (0x243F6A88, 0x85A308D3)) == 0xC4923A9C


def test_random_numbers_are_uniform():
    numbers = uniform(-1, tf.range(100, dtype=tf.int32) - 50, 4, tf.constant(50)).numpy()
    counts = np.histogram(numbers, bins=20, range=(0, 1))[0]
    assert_drawn_from(Counter(dict(enumerate(counts))), dict.fromkeys(range(20), 1 / 20))
    assert numbers.min() >= 0
    assert numbers.max() < 1


def test_keys_are_demanded():
    with pytest.raises(ValueError, match="keys"):
        RandomModel(5).run(Sampling(), SEEDS, SOURCE_LENGTHS)


@pytest.mark.parametrize(
    "argument",
    [{"temperature": 0.0}, {"top_k": -1}, {"top_p": 0.0}, {"top_p": 1.1}, {"min_p": 1.0},
     {"samples": 0}],
)  # fmt: skip
def test_impossible_arguments_are_refused(argument):
    with pytest.raises(ValueError, match=next(iter(argument))):
        Sampling(**argument)
