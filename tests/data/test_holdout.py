from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from seq2seq.data.holdout import Holdout
from seq2seq.errors import UserError


def _records(count):
    return [{"source": f"text {number}", "target": "x"} for number in range(count)]


def test_fractions_are_met():
    counts = Counter(map(Holdout({"validation": 0.05, "test": 0.2}).split_of, _records(20_000)))
    assert counts["validation"] == pytest.approx(1_000, rel=0.1)
    assert counts["test"] == pytest.approx(4_000, rel=0.1)


@given(source=st.text(), targets=st.lists(st.text(), min_size=2), seed=st.integers(0, 9))
def test_records_with_the_same_source_share_a_split(source, targets, seed):
    holdout = Holdout({"validation": 0.3, "test": 0.3}, seed=seed)
    assert len({holdout.split_of({"source": source, "target": text}) for text in targets}) == 1


def test_another_seed_takes_other_records():
    taken = [
        {
            record["source"]
            for record in _records(1_000)
            if Holdout({"test": 0.1}, seed=seed).split_of(record) == "test"
        }
        for seed in (0, 0, 1)
    ]
    assert taken[0] == taken[1] != taken[2]


def test_the_field_that_decides_can_be_chosen():
    holdout = Holdout({"test": 0.5}, field="text")
    assert holdout.split_of({"text": "a", "label": "1"}) == holdout.split_of({"text": "a"})
    with pytest.raises(UserError, match=r"data\.holdout\.field=text.*source"):
        holdout.split_of({"source": "a"})


@pytest.mark.parametrize(
    ("fractions", "message"),
    [
        ({"test": 0.0}, r"fractions\.test=0 "),
        ({"test": 1.5}, r"fractions\.test=1.5 "),
        ({"validation": 0.6, "test": 0.4}, "nothing to train on"),
        ({"train": 0.9}, "'train' is what remains"),
    ],
)
def test_impossible_fractions(fractions, message):
    with pytest.raises(UserError, match=message):
        Holdout(fractions)


def test_a_fraction_of_none_holds_nothing_out():
    assert Holdout({"validation": 0.1, "test": None}).split_names == ("validation",)
