"""The schemes against seqeval's readers, and against each other."""

import itertools

import pytest
import seqeval.scheme
from hypothesis import given, settings
from hypothesis import strategies as st

from seq2seq.data.labels.span_schemes import (
    PREFIXES,
    Span,
    allowed_transitions,
    check_scheme,
    convert,
    is_well_formed,
    labels_of,
    spans_of,
)

SEQEVAL = {
    "IOB1": seqeval.scheme.IOB1,
    "IOB2": seqeval.scheme.IOB2,
    "BIOES": seqeval.scheme.IOBES,
}


def all_labels(scheme, types=("PER", "creative-work")):
    return ["O", *(f"{prefix}-{kind}" for prefix in PREFIXES[scheme] for kind in types)]


@st.composite
def sentences(draw):
    """Spans that do not overlap, and a length."""
    spans, position = [], 0
    for gap, length, kind in draw(
        st.lists(st.tuples(st.integers(0, 2), st.integers(1, 3), st.sampled_from("XY")), max_size=5)
    ):
        spans.append(Span(kind, position + gap, position + gap + length))
        position += gap + length
    return spans, position + draw(st.integers(0, 2))


@given(sentences(), st.sampled_from(list(PREFIXES)), st.sampled_from(list(PREFIXES)))
@settings(derandomize=True, deadline=None, max_examples=200)
def test_every_scheme_is_written_and_read_as_seqeval_reads_it(sentence, scheme, other):
    spans, length = sentence
    labels = labels_of(spans, length, scheme)
    assert spans_of(labels, scheme) == spans
    entities = seqeval.scheme.Entities([labels], SEQEVAL[scheme]).entities[0]
    assert sorted((e.tag, e.start, e.end) for e in entities) == sorted(spans)
    there = convert(labels, scheme, other)
    assert spans_of(there, other) == spans
    assert convert(there, other, scheme) == labels


@pytest.mark.parametrize("scheme", PREFIXES)
def test_transitions_allow_exactly_what_the_scheme_writes(scheme):
    labels = all_labels(scheme)
    allowed = allowed_transitions(labels, scheme)
    number = {label: index for index, label in enumerate(labels)}
    for length in (1, 2, 3):
        for sentence in itertools.product(labels, repeat=length):
            ids = [len(labels), *(number[label] for label in sentence), len(labels)]
            passes = all(allowed[one][other] for one, other in itertools.pairwise(ids))
            is_written = convert(sentence, scheme, scheme) == list(sentence)
            assert passes == is_written == is_well_formed(sentence, scheme), sentence


@pytest.mark.parametrize("scheme", PREFIXES)
def test_broken_sequences_are_read_as_conlleval_does(scheme):
    """conlleval knows no scheme, and reads them all in one way."""
    from seqeval.metrics.sequence_labeling import get_entities

    for sentence in itertools.product(all_labels(scheme, "X"), repeat=4):
        expected = [(kind, start, end + 1) for kind, start, end in get_entities(list(sentence))]
        assert spans_of(sentence, scheme) == expected, sentence


def test_plain_labels_stay_and_may_follow_each_other():
    assert convert(["NOUN", "B-"], None, None) == ["NOUN", "B-"]
    assert allowed_transitions(["NOUN", "B-"], None) == [[True] * 3] * 3


@pytest.mark.parametrize("label", ["PER", "X-PER", "B-", "b-PER", "E-PER", "BI-PER", ""])
def test_labels_of_no_scheme(label):
    with pytest.raises(ValueError, match="is no label of the scheme IOB2: those are O, B-TYPE"):
        spans_of(["O", label], "IOB2")


def test_unknown_schemes():
    with pytest.raises(ValueError, match="scheme: must be one of IOB1, IOB2, BIOES or null"):
        check_scheme("scheme", "IOBES")
