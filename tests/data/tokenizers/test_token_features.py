"""What is read of tokens, and how batches of it are made."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from seq2seq.data.tokenizers.token_features import CASINGS, TokenFeatures, casing
from seq2seq.data.tokenizers.word_splitter import WordSplitter
from seq2seq.errors import UserError
from seq2seq.tasks.padding import padded

RECORDS = [
    {"tokens": ["The", "dog", "of", "1995"], "pos": ["DT", "NN", "IN", "CD"]},
    {"tokens": ["the", "cat"], "pos": ["DT", "NN"]},
]


def fitted(records=RECORDS, **settings):
    features = TokenFeatures(**settings)
    features.fit(records)
    return features


def encoded(features, records):
    """The columns of a store, sentence by sentence."""
    columns = features.store_columns()
    return {
        name: spec.encoder.encode([record[spec.field] for record in records])
        for name, spec in columns.items()
    }


def inputs(features, records):
    columns = encoded(features, records)
    return features.inputs(lambda name: padded(columns[name]))


def test_words_are_lowercased_and_digits_read_as_0():
    features = fitted()
    assert features.words.items == ["the", "0000", "cat", "dog", "of"]
    numbers = encoded(features, [{"tokens": ["THE", "2024", "bird"]}])["words"][0]
    assert numbers.tolist() == [2, 3, 1]
    kept = fitted(lowercase=False, zero_digits=False, minimum_frequency=1, maximum_words=2)
    assert kept.words.items == ["1995", "The"]
    assert fitted(minimum_frequency=2).words.items == ["the"]


def test_known_tokens_are_the_very_ones_of_training():
    features = fitted()
    assert [features.is_known(token) for token in ("The", "THE", "1995", "1996")] == [
        True,
        False,
        True,
        False,
    ]


@given(
    st.lists(st.lists(st.text("abcé1", min_size=1, max_size=9), min_size=1), min_size=1, max_size=4)
)
@settings(derandomize=True, deadline=None, max_examples=60)
def test_every_token_can_be_spelled_from_the_batch(sentences):
    records = [{"tokens": tokens} for tokens in sentences]
    features = fitted(records, casing=False)
    batch = inputs(features, records)
    assert {name: value.ndim for name, value in batch.items()} == features.ranks
    letters = ["", "?", *features.characters.items]
    words = [
        "".join(letters[number] for number in row[:length])
        for row, length in zip(batch["characters"], batch["character_length"], strict=True)
    ]
    assert sorted(words) == sorted({token for tokens in sentences for token in tokens})
    for row, tokens in enumerate(sentences):
        assert batch["length"][row] == len(tokens)
        assert [words[number] for number in batch["spelling"][row, : len(tokens)]] == tokens
        assert not batch["words"][row, len(tokens) :].any()


def test_of_long_words_both_ends_are_read():
    records = [{"tokens": ["abcdefgh", "abcdXefgh"]}]
    features = fitted(records, maximum_word_length=5)
    batch = inputs(features, records)
    letters = ["", "?", *features.characters.items]
    assert batch["characters"].shape == (1, 5)
    assert "".join(letters[number] for number in batch["characters"][0]) == "abcgh"


@pytest.mark.parametrize(
    ("token", "name"),
    [
        ("word", "lower"),
        ("Word", "title"),
        ("I", "title"),
        ("NATO", "upper"),
        ("iPhone", "mixed"),
        ("1,995", "digits"),
        ("B2B", "with digits"),
        ("...", "others"),
        ("犬", "others"),
    ],
)
def test_casing(token, name):
    assert CASINGS[casing(token) - 1] == name


def test_further_columns_have_their_own_vocabularies():
    features = fitted(columns=["pos"])
    assert features.sizes["columns"] == {"pos": 6, "casing": len(CASINGS) + 1}
    batch = inputs(features, [{"tokens": ["a", "b"], "pos": ["NN", "XX"]}])
    assert batch["pos"].tolist() == [[features.columns["pos"].items.index("NN") + 2, 1]]
    with pytest.raises(UserError, match="needs the field 'chunk'; the records have tokens, pos"):
        fitted(columns=["chunk"])


def test_pretrained_words_become_known(tmp_path):
    (tmp_path / "vectors").write_text("the 1 2\nbird 3 4\nNATO 5 6\n")
    features = TokenFeatures(vectors=str(tmp_path / "vectors"))
    vectors = features.fit(RECORDS)
    assert vectors.tolist() == [[0, 0], [0, 0], [1, 2], [3, 4], [5, 6]]
    assert features.sizes["vectors"] == [5, 2]
    found = inputs(features, [{"tokens": ["THE", "Bird", "NATO", "nato"]}])["vectors"][0]
    assert vectors[found].tolist() == [[1, 2], [3, 4], [5, 6], [0, 0]]


def test_saved_and_loaded(tmp_path):
    (tmp_path / "vectors").write_text("the 1 2\n")
    features = fitted(columns=["pos"], vectors=str(tmp_path / "vectors"), lowercase=False)
    features.save(tmp_path / "features.json")
    (tmp_path / "vectors").unlink()
    again = TokenFeatures.load(tmp_path / "features.json")
    assert again.fingerprint == features.fingerprint
    assert again.sizes == features.sizes
    one, other = (inputs(each, RECORDS) for each in (features, again))
    for name in one:
        np.testing.assert_array_equal(one[name], other[name])
    assert again.is_known("dog")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"maximum_word_length": 0}, "maximum_word_length=0 is below 1"),
        ({"columns": ["labels"]}, "labels cannot be a column"),
        ({"pattern": "["}, "cannot be read as a regular expression"),
    ],
)
def test_impossible_settings(arguments, message):
    with pytest.raises(UserError, match=message):
        TokenFeatures(**arguments)


def test_nothing_to_learn():
    with pytest.raises(UserError, match="no word that is frequent enough"):
        fitted(minimum_frequency=9)


def test_raw_sentences_are_cut_by_the_rule():
    text = "It's 3 p.m. — கோபம், naïve_x\u00a0ok"
    expected = ["It", "'", "s", "3", "p", ".", "m", ".", "—", "கோபம்", ",", "naïve_x", "ok"]
    assert WordSplitter().tokens(text) == expected
    assert WordSplitter(r"\S+").tokens(" a  b ") == ["a", "b"]
