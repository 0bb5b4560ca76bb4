"""The embedded names: 40 languages, and nothing of one split in another."""

import unicodedata

import babel
import pytest

from seq2seq.data.embedded.cldr_languages import LANGUAGES, CldrLanguages, names, split_of

SPLITS = ("train", "validation", "test")


@pytest.fixture(scope="module")
def data():
    dataset = CldrLanguages()
    return {split: list(dataset.records(split)) for split in SPLITS}


def test_every_language_is_in_every_split(data):
    for split in SPLITS:
        assert {record["label"] for record in data[split]} == set(LANGUAGES)
    assert len(LANGUAGES) == 40
    assert len(data["train"]) > 30_000
    assert min(len(data["validation"]), len(data["test"])) > 1_400


def test_no_text_and_no_thing_is_in_two_splits(data):
    keys = [
        {unicodedata.normalize("NFKC", record["text"]).casefold() for record in data[split]}
        for split in SPLITS
    ]
    assert sum(map(len, keys)) == len(set().union(*keys))
    assert sum(map(len, keys)) == sum(map(len, data.values()))
    splits = {}
    for name in names():
        assert splits.setdefault(name.entity, split_of(name.entity)) == split_of(name.entity)


def test_the_names_are_those_of_babel(data):
    [record] = [
        record
        for split in SPLITS
        for record in data[split]
        if record.place == "currencies/USD in ja"
    ]
    assert record == {"text": babel.Locale("ja").currencies["USD"], "label": "ja"}


def test_shared_names_are_left_out():
    spain = babel.Locale("es").territories["CU"]
    assert spain == babel.Locale("it").territories["CU"]
    assert spain not in {name.text for name in names()}


def test_the_fingerprint_names_the_split():
    assert len({CldrLanguages().fingerprint(split) for split in SPLITS}) == 3
