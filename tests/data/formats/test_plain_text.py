"""Plain text files as documents."""

import gzip

import pytest

from seq2seq.config import build, composed
from seq2seq.data.formats.plain_text import PlainText
from seq2seq.data.holdout import Holdout
from seq2seq.errors import UserError

TEXT = "".join(f"line {number}\n" for number in range(100))


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "a.txt").write_text(TEXT)
    with gzip.open(tmp_path / "b.txt.gz", "wt") as file:
        file.write("one\n***\ntwo\n***\nthree\n")
    return tmp_path


def texts(data, split):
    return [record["text"] for record in data.records(split)]


def test_the_end_of_a_file_makes_the_other_splits(folder):
    data = PlainText(str(folder), {"train": "a.txt"}, tail={"validation": 0.05, "test": 0.1})
    (train,), (validation,), (test,) = (texts(data, s) for s in data.split_names)
    assert train + validation + test == TEXT
    assert len(test) == round(0.1 * len(TEXT))
    assert len(validation) == pytest.approx(0.05 * len(TEXT), abs=1)
    prints = {data.fingerprint(split) for split in data.split_names}
    assert len(prints) == 3
    other = PlainText(str(folder), {"train": "a.txt"}, tail={"validation": 0.1, "test": 0.1})
    assert other.fingerprint("train") not in prints
    assert other.fingerprint("test") in prints


def test_the_beginning_of_a_file_makes_splits_too(folder):
    shares = {"head": {"validation": 0.05}, "tail": {"test": 0.1}}
    data = PlainText(str(folder), {"train": "a.txt"}, **shares)
    train, validation, test = (
        "".join(texts(data, split)) for split in ("train", "validation", "test")
    )
    assert validation + train + test == TEXT
    assert len(validation) == round(0.05 * len(TEXT))
    same = PlainText(str(folder), {"train": "a.txt"}, tail={"validation": 0.05, "test": 0.1})
    assert data.fingerprint("test") == same.fingerprint("test")
    assert data.fingerprint("train") != same.fingerprint("train")


def test_a_split_may_be_the_same_as_another(folder):
    data = PlainText(
        str(folder), {"train": "a.txt"}, tail={"validation": 0.1}, same_as={"test": "validation"}
    )
    assert data.split_names == ("train", "validation", "test")
    assert texts(data, "test") == texts(data, "validation")
    assert data.fingerprint("test") == data.fingerprint("validation")
    assert "".join(texts(data, "train") + texts(data, "test")) == TEXT


def test_the_split_of_nanogpt(real_data):
    """As in data/shakespeare_char/prepare.py of github.com/karpathy/nanoGPT, but for rounding."""
    text = (real_data / "tiny_shakespeare" / "input.txt").read_text(encoding="utf-8")
    data = build(composed(["data=tiny_shakespeare_nanogpt", "task=generation"]), "data")
    splits = {split: texts(data, split)[0] for split in data.split_names}
    assert splits["train"] + splits["validation"] == text
    assert abs(len(splits["train"]) - int(len(text) * 0.9)) <= 1
    assert splits["test"] == splits["validation"]


def test_a_separator_stands_between_documents_and_files_are_documents(folder):
    data = PlainText(str(folder), {"train": ["b.txt", "a.txt"]}, separator="***\n")
    assert texts(data, "train") == ["one\n", "two\n", "three\n", TEXT]
    held_out = PlainText(
        str(folder), {"train": "b.txt"}, "***\n", holdout=Holdout({"test": 0.5}, field="text")
    )
    parts = [texts(held_out, split) for split in ("train", "test")]
    assert all(parts)
    assert sorted([*parts[0], *parts[1]]) == ["one\n", "three\n", "two\n"]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"tail": {"test": 1.5}}, "data.tail.test=1.5"),
        ({"tail": {"test": 0.6, "validation": 0.5}}, "leave nothing"),
        ({"tail": {"test": 0.5}, "head": {"validation": 0.5}}, "leave nothing"),
        ({"head": {"test": 0.1}, "tail": {"test": 0.1}}, "by data.head and also by data.tail"),
        ({"tail": {"train": 0.5}}, "split train is given by data.files and also"),
        ({"separator": ""}, "data.separator is empty"),
        ({"same_as": {"test": "validation"}}, "data.same_as.test=validation: .* there are train"),
        (
            {"tail": {"test": 0.1}, "same_as": {"test": "train"}},
            "test must have no text of its own",
        ),
    ],
)
def test_what_cannot_be_is_refused(folder, arguments, words):
    with pytest.raises(UserError, match=words):
        PlainText(str(folder), {"train": "a.txt"}, **arguments)


def test_a_missing_split_says_how_to_get_it(folder):
    with pytest.raises(UserError, match=r"no split 'test'.*data\.tail\.test"):
        list(PlainText(str(folder), {"train": "a.txt"}).records("test"))
