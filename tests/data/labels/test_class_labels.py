"""Labels and numbers of records."""

import json
import logging
import math
from fractions import Fraction

import numpy as np
import pytest

from seq2seq.data.labels.class_labels import ClassLabels
from seq2seq.data.number_columns import (
    NumberColumn,
    load_columns,
    number_in,
    numbers_of,
    save_columns,
)
from seq2seq.data.records import PlacedRecord
from seq2seq.data.token_store import Truncated
from seq2seq.errors import UserError


def records(*labels):
    return [PlacedRecord({"label": label}, f"f.tsv:{n}") for n, label in enumerate(labels, 1)]


def as_lists(arrays):
    return [array.tolist() for array in arrays]


def test_one_label():
    labels = ClassLabels({0: "bad", 1: "a"}).fit(records("1", 0, "1", " 1 ", "bad"), "label")
    assert (labels.names, labels.counts) == (["a", "bad"], [3, 2])
    assert as_lists(labels.encode(["0", 1, "bad", "2", "", None])) == [[1], [0], [1], [], [], []]
    assert labels.unseen(["a", "2"]) == ["2"]


def test_a_label_that_is_none_of_the_names_is_an_error():
    stars = records("1", "5", "1")
    wanted = r"f.tsv:2: the label '5' is none of task.label_names \(0: negative, 1: positive\)"
    names = {0: "negative", 1: "positive"}
    with pytest.raises(UserError, match=wanted):
        ClassLabels(names).fit(stars, "label")
    labels = ClassLabels(names).fit(records("1", "0"), "label")
    with pytest.raises(UserError, match=wanted):  # also of validation and test
        labels.check(stars, "label")
    assert ClassLabels().fit(stars, "label").names == ["1", "5"]


def test_a_name_with_the_delimiter_inside_is_an_error():
    given = records(["pos"], ["Sports, leisure", "pos"])
    with pytest.raises(UserError, match=r"f.tsv:2: the label 'Sports, leisure' holds ','"):
        ClassLabels(several=True).fit(given, "label")
    labels = ClassLabels(several=True, delimiter="|").fit(given, "label")
    assert labels.names == ["Sports, leisure", "pos"]
    with pytest.raises(UserError, match="label_delimiter is empty"):
        ClassLabels(delimiter="")


def test_several_labels():
    labels = ClassLabels(several=True, delimiter=";").fit(records("b;a", ["c"], ""), "label")
    assert labels.names == ["a", "b", "c"]
    assert as_lists(labels.encode(["c; a", ["b", "b"], "", "a;z"])) == [[0, 2], [1], [-1], []]


def test_a_class_with_one_example_is_warned_of(caplog):
    with caplog.at_level(logging.WARNING):
        ClassLabels().fit(records("a", "b", "a"), "label")
    assert "1 class(es) with one training example: 'b' (f.tsv:2)" in caplog.text


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (records("a", "a"), r"1 class\(es\) \(a\); at least 2"),
        (records("a", ["a", "b"]), r"f\.tsv:2: 2 labels \(a, b\)"),
        ([{"text": "a"}], r"record 1: there is no field 'label'.* have text"),
    ],
)
def test_faults(given, message):
    with pytest.raises(UserError, match=message):
        ClassLabels().fit(given, "label")


def test_labels_survive_a_file(tmp_path):
    labels = ClassLabels({"x": "y", "b": "b"}, several=True, delimiter="|").fit(
        records("x|b"), "label"
    )
    labels.save(tmp_path / "labels.json")
    loaded = ClassLabels.load(tmp_path / "labels.json")
    assert loaded.fingerprint == labels.fingerprint
    assert as_lists(loaded.encode(["b|x"])) == as_lists(labels.encode(["b|x"])) == [[0, 1]]
    (tmp_path / "labels.json").write_text("{}")
    with pytest.raises(UserError, match="cannot be read as labels"):
        ClassLabels.load(tmp_path / "labels.json")


def test_numbers_are_standardised(tmp_path):
    values = [3.0, "4.5", 12, float("nan"), "", None, "x"]
    column = NumberColumn("x").fit([{"x": value} for value in values])
    real = np.array([3.0, 4.5, 12.0])
    encoded = column.encode(values)
    np.testing.assert_allclose(np.concatenate(encoded[:3]), (real - real.mean()) / real.std())
    assert [len(each) for each in encoded] == [1, 1, 1, 0, 0, 0, 0]
    save_columns([column], tmp_path / "n.json")
    [loaded] = load_columns(tmp_path / "n.json")
    assert loaded.fingerprint == column.fingerprint


def test_a_constant_column_is_zero():
    column = NumberColumn("x").fit([{"x": 5}, {"x": 5}])
    np.testing.assert_array_equal(np.concatenate(column.encode([5, 6])), [0, 1])


def test_missing_numbers():
    with pytest.raises(UserError, match="No training record has a number in the field 'x'"):
        NumberColumn("x").fit([{"x": "nan"}])
    found = [PlacedRecord({"x": 1}, "f:1"), PlacedRecord({"x": "NaN"}, "f:2")]
    with pytest.raises(UserError, match="f:2: the field 'x' needs a number, not 'NaN'"):
        numbers_of([NumberColumn("x")], found)


class Letters:
    fingerprint = "letters"

    def encode(self, values):
        return [np.array([ord(letter) for letter in value]) for value in values]


def test_truncation():
    cut = Truncated(Letters(), 2)
    assert as_lists(cut.encode(["abc", "a"])) == [[97, 98], [97]]
    assert cut.fingerprint != Truncated(Letters(), 3).fingerprint


@pytest.mark.parametrize(
    "damage",
    [
        {"names": ["a", "a"]},
        {"names": ["a"], "counts": [1]},
        {"names": "ab"},
        {"counts": [1]},
        {"counts": ["x", 1]},
        {"renamed": 3},
        {"delimiter": None},
        {"names": [1, 2]},
    ],
)
def test_damaged_files_of_labels(tmp_path, damage):
    path = tmp_path / "labels.json"
    ClassLabels().fit(records("a", "b"), "label").save(path)
    path.write_text(json.dumps({**json.loads(path.read_text()), **damage}))
    with pytest.raises(UserError, match=r"cannot be read as labels|label_delimiter"):
        ClassLabels.load(path)


@pytest.mark.parametrize(
    "values",
    [
        [10.0**300, -(10.0**300), 0.0],
        [1.7e308, 1.7e308, -1.7e308],
        [1e-300, 2e-300, 3e-300],
        [0.1, 0.1, 0.1],
        [10**400, "1e999", 1, 2],
    ],
)
def test_numbers_at_the_ends_of_their_range(values):
    column = NumberColumn("x").fit([{"x": value} for value in values])
    exact = [Fraction(float(v)) for v in values if number_in(v) is not None]
    encoded = np.concatenate(column.encode(values))
    assert np.isfinite(encoded).all()
    scale = max(map(abs, exact))
    mean = sum(exact) / len(exact)
    spread = math.sqrt(sum(((each - mean) / scale) ** 2 for each in exact) / len(exact))
    wanted = [float((each - mean) / scale) / (spread or 1) for each in exact]
    np.testing.assert_allclose(encoded, wanted, rtol=1e-5, atol=1e-5)
    [far] = column.encode(["1.7e308"])
    assert np.isfinite(far).all()


@pytest.mark.parametrize(
    "damage", [{"deviation": 0}, {"deviation": -1}, {"mean": "x"}, {"mean": math.nan}, {"y": 1}]
)
def test_damaged_files_of_numbers(tmp_path, damage):
    path = tmp_path / "numbers.json"
    save_columns([NumberColumn("x", 1.0, 2.0)], path)
    path.write_text(json.dumps([{**json.loads(path.read_text())[0], **damage}]))
    with pytest.raises(UserError, match="cannot be read as columns of numbers"):
        load_columns(path)
