"""Beam search against enumeration and against a search in plain Python, on random models."""

from dataclasses import replace

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from seq2seq.decoding import loop
from seq2seq.decoding.beam import BeamSearch
from seq2seq.decoding.greedy import Greedy
from seq2seq.decoding.penalties import (
    CoveragePenalty,
    DiversityPenalty,
    GNMTLengthPenalty,
    LengthPenalty,
)
from tests.decoding.random_models import END, Options, RandomModel

SEEDS = [3, 141, 59, 26, 53, 58]
SOURCE_LENGTHS = [3, 1, 2, 3, 2, 1]
few = settings(max_examples=10, deadline=None, derandomize=True, phases=[Phase.generate])

every_option = st.builds(
    Options,
    maximum=st.just(3),
    minimum=st.sampled_from([0, 1, 2]),
    repetition_penalty=st.sampled_from([1.0, 1.7, 0.6]),
    no_repeat_ngram_size=st.sampled_from([0, 1, 2]),
    alpha=st.sampled_from([0.0, 0.6, 1.0, 2.0]),
    gnmt=st.booleans(),
    beta=st.sampled_from([0.0, 0.4, 3.0]),
)


def beam_search(options, beam_size, n_best=None):
    penalty = GNMTLengthPenalty if options.gnmt else LengthPenalty
    return BeamSearch(
        beam_size=beam_size,
        n_best=n_best,
        length_penalty=penalty(options.alpha) if options.alpha else None,
        coverage_penalty=CoveragePenalty(options.beta) if options.beta else None,
        diversity_penalty=(
            DiversityPenalty(options.groups, options.strength) if options.groups > 1 else None
        ),
        maximum_length_ratio=0.0,
        maximum_length_extra=options.maximum,
        minimum_length_extra=options.minimum,
        repetition_penalty=options.repetition_penalty,
        no_repeat_ngram_size=options.no_repeat_ngram_size,
    )


def assert_equals(answer, row, expected, model, options):
    """Compares the n hypotheses of one row with the first of a list."""
    for place, wanted in enumerate(expected[: answer["scores"].shape[1]]):
        length = answer["lengths"][row, place]
        assert tuple(answer["tokens"][row, place, :length]) == wanted.tokens
        assert (answer["tokens"][row, place, length:] == END).all()
        np.testing.assert_allclose(answer["scores"][row, place], wanted.score, atol=1e-4)
        np.testing.assert_allclose(
            answer["objectives"][row, place], model.objective(wanted, options), atol=1e-4
        )
    missing = answer["scores"][row, len(expected) :]
    assert (missing == -np.inf).all()
    assert (answer["lengths"][row, len(expected) :] == 0).all()
    assert (answer["tokens"][row, len(expected) :] == END).all()


@few
@given(seed=st.integers(0, 10**6), options=every_option)
def test_a_beam_that_holds_everything_finds_the_best_of_all_sequences(seed, options):
    model = RandomModel(seed)
    answer = model.run(beam_search(options, 45, n_best=8), SEEDS, SOURCE_LENGTHS)
    for row, start in enumerate(SEEDS):
        expected = model.enumerate(start, SOURCE_LENGTHS[row], options)
        assert_equals(answer, row, expected, model, options)


@few
@given(seed=st.integers(0, 10**6), options=every_option, size=st.integers(1, 4))
def test_a_narrow_beam_finds_what_the_plain_search_finds(seed, options, size):
    options = replace(options, maximum=6)
    model = RandomModel(seed, vocabulary=6)
    answer = model.run(beam_search(options, size, n_best=size), SEEDS, SOURCE_LENGTHS)
    for row, start in enumerate(SEEDS):
        expected = model.beam(start, SOURCE_LENGTHS[row], options, size)
        assert_equals(answer, row, expected, model, options)


@few
@given(seed=st.integers(0, 10**6), options=every_option)
def test_stopping_early_loses_nothing(seed, options):
    """With one answer the search stops before the beam has ended; the best is the same."""
    options = replace(options, maximum=9)
    model = RandomModel(seed, vocabulary=8)
    answer = model.run(beam_search(options, 4, n_best=1), SEEDS, SOURCE_LENGTHS)
    for row, start in enumerate(SEEDS):
        expected = model.beam(start, SOURCE_LENGTHS[row], options, 4)
        assert_equals(answer, row, expected, model, options)


@few
@given(seed=st.integers(0, 10**6), options=every_option)
def test_a_beam_of_one_is_greedy_search(seed, options):
    options = replace(options, maximum=6)
    model = RandomModel(seed, vocabulary=6)
    greedy = Greedy(
        maximum_length_ratio=0.0,
        maximum_length_extra=options.maximum,
        minimum_length_extra=options.minimum,
        repetition_penalty=options.repetition_penalty,
        no_repeat_ngram_size=options.no_repeat_ngram_size,
    )
    expected = model.run(greedy, SEEDS, SOURCE_LENGTHS, token_scores=True, alignments=True)
    answer = model.run(
        beam_search(options, 1), SEEDS, SOURCE_LENGTHS, token_scores=True, alignments=True
    )
    for name, value in expected.items():
        np.testing.assert_allclose(answer[name], value, atol=1e-5, err_msg=name)


@few
@given(
    seed=st.integers(0, 10**6),
    options=every_option,
    shape=st.sampled_from([(2, 2), (4, 2), (3, 3), (6, 2), (6, 3)]),
    strength=st.sampled_from([0.2, 1.0, 5.0]),
)
def test_groups_that_differ_find_what_the_plain_search_finds(seed, options, shape, strength):
    size, groups = shape
    options = replace(options, maximum=6, groups=groups, strength=strength)
    model = RandomModel(seed, vocabulary=6)
    answer = model.run(beam_search(options, size, n_best=size), SEEDS, SOURCE_LENGTHS)
    for row, start in enumerate(SEEDS):
        expected = model.beam(start, SOURCE_LENGTHS[row], options, size)
        assert_equals(answer, row, expected, model, options)


LONG = Options(maximum=12, alpha=1.0, beta=0.2)


@pytest.fixture(scope="module")
def model():
    return RandomModel(7, vocabulary=41)


@pytest.fixture(scope="module")
def answer(model):
    return model.run(
        beam_search(LONG, 5, n_best=5),
        SEEDS,
        SOURCE_LENGTHS,
        compiled=True,
        token_scores=True,
        alignments=True,
    )


def test_n_best_are_sorted_and_unique(answer):
    assert (np.diff(answer["objectives"], axis=1) <= 0).all()
    for row in answer["tokens"]:
        assert len({tuple(tokens) for tokens in row}) == 5


def test_scores_alignments_and_token_scores_are_those_of_the_returned_tokens(model, answer):
    for row, start in enumerate(SEEDS):
        size = SOURCE_LENGTHS[row]
        for place in range(5):
            length = answer["lengths"][row, place]
            tokens = [*answer["tokens"][row, place, :length].tolist(), END]
            looks = [model.look(start, tokens[:time]) for time in range(length + 1)]
            gains = [gain[token] for (gain, _), token in zip(looks, tokens, strict=True)]
            weights = [weight[:size] / weight[:size].sum() for _, weight in looks]
            token_scores = answer["token_scores"][row, place]
            alignments = answer["alignments"][row, place]
            np.testing.assert_allclose(token_scores[: length + 1], gains, atol=1e-4)
            np.testing.assert_allclose(answer["scores"][row, place], sum(gains), atol=1e-4)
            np.testing.assert_allclose(alignments[: length + 1, :size], weights, atol=1e-5)
            assert not token_scores[length + 1 :].any()
            assert not alignments[length + 1 :].any()
            assert not alignments[:, size:].any()


def test_neither_order_nor_company_changes_a_result(model, answer):
    for chosen in ([4, 2, 0, 5, 1, 3], [2], [5, 3]):
        again = model.run(
            beam_search(LONG, 5, n_best=5),
            [SEEDS[i] for i in chosen],
            [SOURCE_LENGTHS[i] for i in chosen],
        )
        for place, row in enumerate(chosen):
            for name in ("lengths", "scores", "objectives"):
                np.testing.assert_allclose(again[name][place], answer[name][row], atol=1e-5)
            steps = min(again["tokens"].shape[2], answer["tokens"].shape[2])
            assert (again["tokens"][place, :, :steps] == answer["tokens"][row, :, :steps]).all()


@pytest.mark.parametrize("share", [0.0, 0.5, 1.0])
def test_sources_that_leave_early_or_late_change_no_result(model, answer, share, monkeypatch):
    monkeypatch.setattr(loop, "FINISHED_SHARE", share)
    again = model.run(
        beam_search(LONG, 5, n_best=5), SEEDS, SOURCE_LENGTHS, token_scores=True, alignments=True
    )
    for name, value in answer.items():
        np.testing.assert_allclose(again[name], value, atol=1e-6, err_msg=name)


def test_a_wider_beam_that_prunes_nothing_is_never_worse(model):
    options = Options(maximum=3, alpha=0.8)
    model = RandomModel(11)
    best = [model.run(beam_search(options, k), SEEDS, SOURCE_LENGTHS) for k in (2, 4, 45, 64)]
    objectives = np.array([found["objectives"] for found in best])
    assert (objectives[2] >= objectives[:2].max(axis=0) - 1e-6).all()
    np.testing.assert_allclose(objectives[3], objectives[2], atol=1e-6)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"beam_size": 0}, "beam_size"),
        ({"beam_size": 3, "n_best": 4}, "n_best and beam_size"),
        (
            {"beam_size": 5, "diversity_penalty": DiversityPenalty(2)},
            "diversity_penalty.groups and beam_size",
        ),
        ({"n_best": 0}, "n_best and beam_size"),
        ({"repetition_penalty": 0.0}, "repetition_penalty"),
        ({"no_repeat_ngram_size": -1}, "no_repeat_ngram_size"),
        (
            {"minimum_length_extra": 20, "maximum_length_extra": 10},
            "minimum_length_extra and maximum_length_extra",
        ),
        (
            {"minimum_length_ratio": 3.0},
            "minimum_length_ratio and maximum_length_ratio",
        ),
    ],
)
def test_impossible_arguments_are_refused(arguments, words):
    with pytest.raises(ValueError, match=words):
        BeamSearch(**arguments)


@pytest.mark.parametrize(
    ("penalty", "arguments", "words"),
    [
        (LengthPenalty, {"alpha": -0.1}, "alpha"),
        (CoveragePenalty, {"beta": 0.0}, "beta"),
        (DiversityPenalty, {"groups": 1}, "groups"),
        (DiversityPenalty, {"groups": 2, "strength": 0.0}, "strength"),
    ],
)
def test_impossible_penalties_are_refused(penalty, arguments, words):
    with pytest.raises(ValueError, match=words):
        penalty(**arguments)


@pytest.mark.parametrize(
    ("strategy", "arguments", "words"),
    [
        (BeamSearch(coverage_penalty=CoveragePenalty()), {}, "coverage_penalty"),
        (Greedy(), {"alignments": True}, "alignments"),
    ],
)
def test_attention_is_demanded_where_it_is_needed(strategy, arguments, words):
    def step(tokens, state):
        return tf.zeros([tf.shape(tokens)[0], 5]), state

    with pytest.raises(ValueError, match=words):
        strategy(step, (), tf.constant([2, 3]), 0, END, **arguments)
