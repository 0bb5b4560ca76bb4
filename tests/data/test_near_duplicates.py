"""Near-duplicates, against all pairs of texts compared one by one."""

import itertools
import re

import pytest

from seq2seq.data.near_duplicates import InputHashes, simplified

ENGLISH = [
    "It's 7 o'clock!", "its 7 oclock", "Its 7 o'clock", "a b", "ab", "A-B", "c", "c", "?", "!"
]  # fmt: skip


def plain(text):
    """What ASCII texts have in common with their near-duplicates."""
    return re.sub(r"[^0-9a-z]", "", text.lower()) or text


@pytest.mark.parametrize(
    ("one", "other", "are_near"),
    [
        ("Straße", "STRASSE", True),
        ("\uff21\uff22\u3000\uff11", "ab1", True),  # full width
        ("cafe\u0301", "caf\u00e9", True),
        ("cafe", "caf\u00e9", False),
        ("\u0995\u09bf", "\u0995", False),  # a Bengali vowel sign is no punctuation
        ("他说：“好。”", "他说好", True),
    ],
)
def test_what_near_duplicates_differ_in(one, other, are_near):
    assert (simplified(one) == simplified(other)) is are_near


def test_counts_are_those_of_all_pairs():
    for size in (3, 6, 10):
        for start in (0, 2, 4):
            first, second = ENGLISH[:size], ENGLISH[start:]
            one, other = (
                InputHashes.of([{"source": text, "target": "x"} for text in texts], ["source"])
                for texts in (first, second)
            )
            distinct = sorted(set(first))
            near = [
                text
                for number, text in enumerate(distinct)
                if any(plain(text) == plain(earlier) for earlier in distinct[:number])
            ]
            assert one.near_duplicates == len(near)
            shared = [
                text
                for text in second
                if text not in first and any(plain(text) == plain(old) for old in first)
            ]
            assert other.near_shared([one]) == len(shared)
            assert one.near_shared([]) == 0


def test_two_texts_and_tokens_are_one_input_and_numbers_are_none():
    records = [
        {"text": "a", "text2": ["b", "c"], "n": 1.0},
        {"text": "A", "text2": ["b", "c."], "n": 2.0},
    ]
    assert InputHashes.of(records, ["text", "text2", "n"]).near_duplicates == 1
    assert InputHashes.of(records, ["n"]).near_duplicates == 0
    assert len(list(itertools.chain(*InputHashes.of(records, ["n"])))) == 0
