"""Words that must and must not appear: against plain Python, and read as prose."""

from dataclasses import replace

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import Phase, assume, given, settings
from hypothesis import strategies as st

from seq2seq.decoding.beam import BeamSearch
from seq2seq.decoding.constraints import UNREACHABLE, Constraints, compile_constraints
from seq2seq.decoding.greedy import Greedy
from seq2seq.decoding.sampling import Sampling
from tests.decoding.random_models import END, Options, RandomModel, contains
from tests.decoding.test_beam import assert_equals, beam_search

SEEDS = [3, 141, 59, 26]
SOURCE_LENGTHS = [3, 1, 2, 3]
few = settings(max_examples=10, deadline=None, derandomize=True, phases=[Phase.generate])

word = st.sampled_from([0, 2, 3, 4])
phrase = st.lists(word, min_size=1, max_size=3).map(tuple)
constraints = st.fixed_dictionaries(
    {
        "prefix": st.lists(word, max_size=2).map(tuple),
        "required": st.lists(phrase, max_size=2).map(tuple),
        "forbidden": st.lists(st.lists(word, min_size=1, max_size=2).map(tuple), max_size=2).map(
            tuple
        ),
        "allowed": st.one_of(st.just(()), st.sets(word, min_size=2, max_size=3).map(tuple)),
    }
)
rules = st.builds(
    Options,
    maximum=st.integers(2, 3),
    minimum=st.sampled_from([0, 2]),
    no_repeat_ngram_size=st.sampled_from([0, 1, 2]),
    alpha=st.sampled_from([0.0, 1.0]),
)
rows_of_constraints = st.lists(constraints, min_size=4, max_size=4)


def compiled(rows, vocabulary=5):
    names = {"prefixes": "prefix"} | {n: n for n in ("required", "forbidden", "allowed")}
    return compile_constraints(
        len(rows),
        vocabulary,
        END,
        **{n: [getattr(row, k) for row in rows] for n, k in names.items()},
    )


def feasible(model, rows):
    """Frees the rows whose constraints contradict each other, which must be refused."""
    for place, row in enumerate(rows):
        if model.longest_need(row) == np.inf:
            with pytest.raises(ValueError, match="contradict"):
                compiled([row])
            rows[place] = replace(row, prefix=(), required=(), forbidden=(), allowed=())
    return rows


@few
@given(seed=st.integers(0, 10**6), options=rules, rows=rows_of_constraints)
def test_a_beam_that_holds_everything_finds_the_best_that_satisfies(seed, options, rows):
    model = RandomModel(seed, vocabulary=5)
    rows = feasible(model, [replace(options, **row) for row in rows])
    wanted = [
        model.enumerate(start, size, row)
        for start, size, row in zip(SEEDS, SOURCE_LENGTHS, rows, strict=True)
    ]
    assume(max(map(len, wanted)) <= 130)
    answer = model.run(
        beam_search(options, 130, n_best=6), SEEDS, SOURCE_LENGTHS, constraints=compiled(rows)
    )
    for place, expected in enumerate(wanted):
        assert_equals(answer, place, expected, model, rows[place])


@few
@given(
    seed=st.integers(0, 10**6),
    options=rules,
    rows=rows_of_constraints,
    size=st.sampled_from([1, 2, 4]),
    groups=st.sampled_from([1, 2]),
)
def test_a_narrow_beam_gives_places_to_every_stage(seed, options, rows, size, groups):
    size = max(size, groups)
    options = replace(options, maximum=5, groups=groups, strength=0.7 * (groups - 1))
    model = RandomModel(seed, vocabulary=5)
    rows = feasible(model, [replace(options, **row) for row in rows])
    answer = model.run(
        beam_search(options, size, n_best=size), SEEDS, SOURCE_LENGTHS, constraints=compiled(rows)
    )
    for place, (start, length, row) in enumerate(zip(SEEDS, SOURCE_LENGTHS, rows, strict=True)):
        assert_equals(answer, place, model.beam(start, length, row, size), model, row)


@few
@given(seed=st.integers(0, 10**6), options=rules, rows=rows_of_constraints)
def test_greedy_search_and_sampling_satisfy_them_too(seed, options, rows):
    model = RandomModel(seed, vocabulary=5)
    rows = feasible(model, [replace(options, **row) for row in rows])
    limits = dict(
        maximum_length_ratio=0.0,
        maximum_length_extra=options.maximum,
        minimum_length_extra=options.minimum,
        no_repeat_ngram_size=options.no_repeat_ngram_size,
    )
    for strategy in (Greedy(**limits), Sampling(**limits)):
        keys = tf.range(4) if isinstance(strategy, Sampling) else None
        answer = model.run(strategy, SEEDS, SOURCE_LENGTHS, constraints=compiled(rows), keys=keys)
        for place, row in enumerate(rows):
            length = answer["lengths"][place]
            tokens = tuple(answer["tokens"][place, :length].tolist())
            assert tokens[: len(row.prefix)] == row.prefix
            assert all(contains(tokens, phrase) for phrase in row.required)
            assert not any(contains(tokens, phrase) for phrase in row.forbidden)
            assert set(tokens) <= set(row.allowed or range(5))
            assert length <= max(row.maximum, model.longest_need(row))
            gains = [model.look(SEEDS[place], tokens[:t])[0] for t in range(length + 1)]
            score = sum(gain[t] for gain, t in zip(gains, (*tokens, END), strict=True))
            np.testing.assert_allclose(answer["scores"][place], score, atol=1e-4)


@pytest.mark.parametrize("strategy", [Greedy(), BeamSearch(beam_size=3, n_best=2)])
def test_one_graph_serves_all_constraints(strategy):
    model = RandomModel(4, vocabulary=5)
    none = Options(maximum=8)
    batches = [
        [replace(none, required=((2, 3, 4),)), none, none, replace(none, forbidden=((2,), (4, 4)))],
        [none] * 4,
        [replace(none, prefix=(3,), required=((0,), (2, 4))), replace(none, allowed=(3, 4))],
    ]
    signature = [tf.TensorSpec([None] * part.ndim, tf.int32) for part in compiled([none])]

    @tf.function(input_signature=[tf.TensorSpec([None], tf.int32)] * 2 + [signature])
    def search(state, lengths, parts):
        memory = tf.sequence_mask(lengths, 3, tf.float32)
        given_ = Constraints(*parts)
        return strategy(model.step, state, lengths, 0, END, memory=memory, constraints=given_)

    for rows in batches:
        seeds, lengths = SEEDS[: len(rows)], SOURCE_LENGTHS[: len(rows)]
        found = search(tf.constant(seeds), tf.constant(lengths), list(compiled(rows)))
        expected = model.run(strategy, seeds, lengths, constraints=compiled(rows))
        for name, value in expected.items():
            np.testing.assert_allclose(getattr(found, name), value, atol=1e-5)
    assert search.experimental_get_tracing_count() == 1


ALPHABET = "_.abcdefghijklmnopqrstuvwxyz"


def ids(word):
    return [ALPHABET.index(letter) for letter in word]


def spell(strategy, sentences, **words):
    """Searches with a model that wants to say a sentence, whatever it has said before."""
    longest = max(map(len, sentences))
    table = tf.constant([[*ids(s), *[END] * (longest + 30 - len(s))] for s in sentences])

    def step(tokens, place, table):
        letters = tf.repeat(table, tf.shape(tokens)[0] // tf.shape(table)[0], axis=0)
        wanted = tf.gather(letters, place, batch_dims=1)
        return 4.0 * tf.one_hot(wanted, len(ALPHABET)), place + 1

    rows = {name: [[ids(p) for p in row] for row in given] for name, given in words.items()}
    if "prefixes" in words:
        rows["prefixes"] = [ids(prefix) for prefix in words["prefixes"]]
    if "allowed" in words:
        rows["allowed"] = [ids(letters) for letters in words["allowed"]]
    found = strategy(
        step,
        tf.zeros([len(sentences)], tf.int32),
        tf.constant([len(s) for s in sentences]),
        ALPHABET.index("_"),
        END,
        memory=table,
        constraints=compile_constraints(len(sentences), len(ALPHABET), END, **rows),
    )
    tokens, lengths = found.tokens.numpy(), found.lengths.numpy()
    return ["".join(ALPHABET[t] for t in row[:n]) for row, n in zip(tokens, lengths, strict=True)]


def test_a_sentence_begins_as_it_is_told():
    assert spell(Greedy(), ["hello", "world"], prefixes=["ma", ""]) == ["mallo", "world"]


def test_what_is_missing_is_said_where_the_model_would_have_ended():
    assert spell(Greedy(), ["hello", "world"], required=[["you"], []]) == ["helloyou", "world"]


def test_what_has_been_said_is_not_said_again():
    assert spell(Greedy(), ["hello"], required=[["ell", "lo", "h"]]) == ["hello"]


def test_no_ngram_block_stands_against_a_word_that_must_appear():
    strategy = Greedy(no_repeat_ngram_size=1)
    assert spell(strategy, ["helo"], required=[["ll"]]) == ["hell"]


def test_words_are_avoided():
    (spelt,) = spell(Greedy(), ["hello"], forbidden=[["ll", "o"]])
    assert spelt.startswith("hel")
    assert "ll" not in spelt
    assert "o" not in spelt


def test_only_allowed_letters_are_used():
    assert spell(Greedy(), ["hello", "pool"], allowed=["ehl", ""]) == ["hell", "pool"]


def test_a_beam_says_a_missing_word_where_it_costs_least():
    """Each letter beside the model's costs the same, so the fewest are said beside."""
    (spelt,) = spell(BeamSearch(beam_size=8), ["hello"], required=[["lob"]])
    assert spelt == "hellob"


def test_limits_grow_to_what_must_be_said():
    strategy = Greedy(maximum_length_ratio=0.0, maximum_length_extra=2)
    assert spell(strategy, ["hello"], required=[["abcdef"]]) == ["abcdef"]


@pytest.mark.parametrize(
    ("given_", "words"),
    [
        ({"required": [[[2]]]}, "required: 2 rows need as many entries"),
        ({"required": [[[END]], []]}, "required: row 0 has"),
        ({"forbidden": [[], [[]]]}, "forbidden: row 1 has"),
        ({"prefixes": [[7], []]}, "prefixes: row 0 has"),
        ({"allowed": [[-1], []]}, "allowed: row 0 has"),
        ({"required": [[], [[2, 3]]], "forbidden": [[], [[3]]]}, "of row 1 contradict"),
        ({"prefixes": [[3, 2], []], "forbidden": [[[3, 2]], []]}, "of row 0 contradict"),
        ({"required": [[[3]], []], "allowed": [[2], []]}, "of row 0 contradict"),
        (
            {
                "required": [[], [[2], [3]]],
                "allowed": [[], [2, 3]],
                "forbidden": [[], [[2, 3], [3, 2]]],
            },
            "of row 1 contradict",
        ),
        ({"required": [[[a, b] for a in (2, 3, 4) for b in (2, 3, 4, 0)], []]}, "at most 10"),
    ],
)
def test_impossible_constraints_are_refused(given_, words):
    with pytest.raises(ValueError, match=words):
        compile_constraints(2, 5, END, **given_)


def plain_automaton(phrases):
    """Nodes, transitions and endings by definition: the longest beginning that a text ends with."""
    nodes = sorted(dict.fromkeys(p[:n] for p in phrases for n in range(len(p) + 1)), key=len)
    symbols = sorted({token for phrase in phrases for token in phrase})

    def node_of(text):
        return next(nodes.index(text[i:]) for i in range(len(text) + 1) if text[i:] in nodes)

    transitions = [[node_of((*node, symbol)) for symbol in symbols] for node in nodes]
    endings = [sum(node[len(node) - len(p) :] == p for p in phrases) for node in nodes]
    return transitions, endings


@settings(max_examples=100, deadline=None, derandomize=True)
@given(st.lists(st.lists(word, min_size=1, max_size=6).map(tuple), min_size=1, max_size=5))
def test_nodes_are_the_longest_beginnings(phrases):
    phrases = list(dict.fromkeys(phrases))
    made = compile_constraints(1, 5, END, required=[phrases])
    transitions, endings = plain_automaton(phrases)
    assert made.transitions[0, :-1, 3:].tolist() == transitions
    bits = [int(each).bit_count() for each in made.completes[0, :-1]]
    assert bits == endings


def test_long_phrases_and_many_rows():
    phrase = [5 + n % 700 for n in range(1000)]
    made = compile_constraints(64, 1000, END, required=[[phrase]] * 64)
    assert made.needed.tolist() == [1000] * 64
    assert made.distances[0, 0, :1000].tolist() == [*range(1000, 0, -1)]
    other = compile_constraints(2, 1000, END, required=[[phrase], [[7]]])
    np.testing.assert_array_equal(other.transitions[0], made.transitions[63])
    assert other.needed.tolist() == [1000, 1]


def test_phrases_have_a_limit_together():
    with pytest.raises(ValueError, match="row 1 has 10001 tokens, 10000 fit"):
        compile_constraints(2, 9, END, required=[[], [[0] * 10_001]])
    many = [[token] for token in range(9) if token != END] * 2000  # need no automaton
    assert compile_constraints(1, 10, END, forbidden=[many]).transitions.shape[1] == 2


@settings(max_examples=60, deadline=None, derandomize=True)
@given(
    st.lists(st.lists(word, min_size=1, max_size=3).map(tuple), min_size=1, max_size=4),
    st.lists(st.lists(word, min_size=2, max_size=3).map(tuple), max_size=2),
)
def test_distances_are_those_of_the_shortest_continuations(required, forbidden):
    required = list(dict.fromkeys(required))
    try:
        made = compile_constraints(1, 5, END, required=[required], forbidden=[forbidden])
    except ValueError:
        return
    transitions, completes = made.transitions[0], made.completes[0]
    everything = (1 << len(required)) - 1
    # By definition, step by step: what can be reached in n tokens and has seen everything.
    for seen in range(everything + 1):
        for node in range(len(transitions) - 1):
            reached, count = {(seen, node)}, 0
            while reached and not any(s == everything for s, _ in reached):
                steps = (
                    (s, n)
                    for s, each in reached
                    for n in transitions[each, [0, *range(3, transitions.shape[1])]]
                )
                reached = {
                    (s | int(completes[n]), int(n)) for s, n in steps if n < len(transitions) - 1
                }
                count += 1
                if count > 40:
                    reached = set()
            wanted = count if reached else UNREACHABLE
            assert made.distances[0, seen, node] == wanted
