"""Labelled texts from files of all kinds, against what the csv and json libraries write."""

import csv
import gzip
import io
import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from seq2seq.config import build, composed
from seq2seq.data.formats.by_ending import labelled_file
from seq2seq.data.formats.json_lines import LabelledJsonl
from seq2seq.data.formats.labelled_texts import LabelFolders, LabelLines
from seq2seq.data.formats.tables import Csv
from seq2seq.errors import UserError

TEXTS = ["good , really", 'a "quoted" word', "two\nlines", " ", "ünïcode"]


def read(dataset, split="train"):
    return list(dataset.records(split))


def csv_of(rows, **options):
    stream = io.StringIO()
    csv.writer(stream, lineterminator="\n", **options).writerows(rows)
    return stream.getvalue()


class TestCsv:
    def make(self, files, content, columns=None, **options):
        folder = files(a__csv=content)
        return Csv(str(folder), {"train": "a.csv"}, columns or {"text": "text"}, **options)

    def test_quoted_values_and_places(self, files):
        content = csv_of([["label", "text"], *[["x", text] for text in TEXTS]])
        records = read(self.make(files, content, {"text": "text", "label": 0}))
        assert records == [{"text": text, "label": "x"} for text in TEXTS]
        lines = [int(record.place.rpartition(":")[2]) for record in records]
        assert lines == [2, 3, 4, 6, 7]  # the third text takes two lines

    @settings(derandomize=True, deadline=None, max_examples=30)
    @given(st.lists(st.lists(st.text(st.characters(codec="utf-8")), min_size=2, max_size=2)))
    def test_anything_that_csv_writes_is_read(self, tmp_path_factory, rows):
        rows = [[v.replace("\r", "").replace("\n", "") + "." for v in row] for row in rows]
        path = tmp_path_factory.mktemp("csv") / "a.csv"
        path.write_text(csv_of([["a", "b"], *rows]), encoding="utf-8")
        dataset = Csv(str(path.parent), {"train": "a.csv"}, {"a": "a", "b": "b"})
        assert [list(record.values()) for record in dataset.read_file(path)] == rows

    def test_without_header_and_quoting(self, files):
        dataset = self.make(
            files, '"a\tb\n\nc"\td\n', {"text": 0}, delimiter="\t", header=False, quoting=False
        )
        assert [record["text"] for record in read(dataset)] == ['"a', 'c"']

    @pytest.mark.parametrize(
        ("content", "options", "message"),
        [
            ("text,x\na,1\nb\n", {"columns": {"text": "text", "x": "x"}}, r"a\.csv:3: 1 column"),
            ('text\n"a"b\n', {}, r"a\.csv:2: cannot be read as CSV"),
            ('text\na\n"open\n', {}, r"a\.csv:3: cannot be read as CSV"),
            ("label\na\n", {}, "data.columns.text=text: .*has no such column; it has label"),
            ("text\n", {}, "train of .* has no records"),
        ],
    )
    def test_faults(self, files, content, options, message):
        with pytest.raises(UserError, match=message):
            read(self.make(files, content, **options))

    def test_long_values(self, files):
        text = "good film " * 40_000
        content = csv_of([["text"], [text]])
        assert read(self.make(files, content)) == [{"text": text}]

    def test_impossible_arguments(self, files):
        with pytest.raises(UserError, match=r"data.columns.text=-3: columns count from 0"):
            self.make(files, "a", {"text": -3})
        with pytest.raises(UserError, match="known by its name only with"):
            self.make(files, "a", header=False)
        with pytest.raises(UserError, match="must be one character"):
            self.make(files, "a", delimiter="::")


class TestLabelLines:
    def test_trec(self, files):
        folder = files(a=b"NUM:dist How far ?\n\nHUM:ind  Who ?\n")
        places = [f"{folder / 'a'}:1", f"{folder / 'a'}:3"]
        for depth, labels in ((None, ["NUM:dist", "HUM:ind"]), (1, ["NUM", "HUM"])):
            records = read(LabelLines(str(folder), {"train": "a"}, depth=depth))
            assert [record["label"] for record in records] == labels
            assert [record["text"].strip() for record in records] == ["How far ?", "Who ?"]
            assert [record.place for record in records] == places

    def test_fasttext(self, files):
        folder = files(a__gz=gzip.compress(b"__label__a __label__b it __label__c is\n__label__d\n"))
        records = read(LabelLines(str(folder), {"train": "a"}, prefix="__label__"))
        assert records == [
            {"text": "it __label__c is", "label": ["a", "b"]},
            {"text": "", "label": ["d"]},
        ]

    @pytest.mark.parametrize("between", ["\t", "  ", "\u00a0", " \t ", "\u3000"])
    def test_any_white_space_stands_behind_a_label(self, files, between):
        folder = files(
            a=f"__label__pos{between}a good film\n__label__pos{between}__label__x{between}it\n",
            b=f"pos{between}a good film\nneg\n",
        )
        assert read(LabelLines(str(folder), {"train": "a"}, prefix="__label__")) == [
            {"text": "a good film", "label": ["pos"]},
            {"text": "it", "label": ["pos", "x"]},
        ]
        assert read(LabelLines(str(folder), {"train": "b"})) == [
            {"text": "a good film", "label": "pos"},
            {"text": "", "label": "neg"},
        ]

    def test_faults(self, files):
        folder = files(a="__label__ x\n")
        with pytest.raises(UserError, match=r"a:1: does not begin with '__label__' and a label"):
            read(LabelLines(str(folder), {"train": "a"}, prefix="__label__"))
        folder = files(a="__label__x yes\nno label\n")
        with pytest.raises(UserError, match=r"a:2: does not begin with '__label__'"):
            read(LabelLines(str(folder), {"train": "a"}, prefix="__label__"))
        with pytest.raises(UserError, match=r"data.depth=0"):
            LabelLines(str(folder), {"train": "a"}, depth=0)


class TestLabelFolders:
    @pytest.fixture
    def folder(self, tmp_path):
        for name, text in (("pos/2.txt", "good\nfilm"), ("pos/10.txt", "fine"), ("neg/1.txt", "")):
            path = tmp_path / "train" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        (tmp_path / "train" / "pos" / "notes.md").write_text("not read")
        (tmp_path / "train" / "unsup").mkdir()
        (tmp_path / "train" / "unsup" / "1.txt").write_text("not labelled")
        return tmp_path

    def test_folders_are_labels(self, folder):
        records = read(LabelFolders(str(folder), {"train": "train"}, labels=["pos", "neg"]))
        assert records == [
            {"text": "fine", "label": "pos"},
            {"text": "good\nfilm", "label": "pos"},
            {"text": "", "label": "neg"},
        ]
        assert records[0].place == str(folder / "train" / "pos" / "10.txt")
        assert len(read(LabelFolders(str(folder), {"train": "train"}))) == 4

    @pytest.mark.parametrize("pattern", ["*.txt", "**/*.txt", "*"])
    def test_hidden_folders_and_files_are_no_data(self, folder, pattern):
        (folder / "train" / "pos" / "notes.md").unlink()
        before = read(LabelFolders(str(folder), {"train": "train"}, pattern))
        for name in (
            ".ipynb_checkpoints/1-checkpoint.txt",
            "__MACOSX/pos/._2.txt",
            ".DS_Store",
            "pos/.DS_Store",
            "pos/._2.txt",
            "pos/.ipynb_checkpoints/2-checkpoint.txt",
            "neg/__MACOSX/x.txt",
        ):
            path = folder / "train" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text("hidden")
        assert read(LabelFolders(str(folder), {"train": "train"}, pattern)) == before
        named = LabelFolders(str(folder), {"train": "train"}, labels=[".ipynb_checkpoints"])
        assert read(named) == [{"text": "hidden", "label": ".ipynb_checkpoints"}]

    def test_folders_inside_of_a_class_belong_to_it(self, folder):
        (folder / "train" / "pos" / "more").mkdir()
        (folder / "train" / "pos" / "more" / "3.txt").write_text("very good")
        records = read(LabelFolders(str(folder), {"train": "train"}, "**/*.txt"))
        assert {"text": "very good", "label": "pos"} in records

    def test_impossible_patterns(self, folder):
        for pattern in ("", "/etc/*.txt"):
            with pytest.raises(UserError, match=r"data.pattern"):
                LabelFolders(str(folder), {"train": "train"}, pattern)

    def test_the_fingerprint_is_that_of_the_content(self, folder):
        dataset = LabelFolders(str(folder), {"train": "train"})
        before = dataset.fingerprint("train")
        (folder / "train" / "pos" / "2.txt").rename(folder / "train" / "neg" / "2.txt")
        assert dataset.fingerprint("train") != before

    def test_faults(self, folder):
        with pytest.raises(UserError, match="has no folder 'bad'; it has neg, pos, unsup"):
            read(LabelFolders(str(folder), {"train": "train"}, labels=["bad"]))
        with pytest.raises(UserError, match=r"data.folders.test: there is no folder"):
            read(LabelFolders(str(folder), {"test": "test"}), "test")


class TestJsonl:
    def make(self, files, *objects):
        folder = files(a__jsonl="".join(json.dumps(each) + "\n" for each in objects))
        fields = {"text": "t", "label": "l"}
        return LabelledJsonl(str(folder), {"train": "a.jsonl"}, fields)

    def test_labels_of_all_kinds(self, files):
        labels = ["a", 3, 1.5, ["x", "y"], [], None]
        records = read(self.make(files, *({"t": "text", "l": label} for label in labels)))
        assert [record["label"] for record in records] == labels
        assert records[2].place.endswith("a.jsonl:3")

    @pytest.mark.parametrize("label", [{"a": 1}, [1], "\ud800"])
    def test_faults(self, files, label):
        with pytest.raises(UserError, match=r"a\.jsonl:2"):
            read(self.make(files, {"t": "a", "l": "b"}, {"t": "a", "l": label}))
        with pytest.raises(UserError, match=r"a\.jsonl:1: there is no key 'l'"):
            read(self.make(files, {"t": "a"}))


def test_one_file_by_its_ending(tmp_path):
    for name, content in (
        ("a.csv", "label,text\nx,one\n"),
        ("a.tsv", "one\tx\n"),
        ("a.jsonl", '{"text": "one", "label": "x"}\n'),
    ):
        (tmp_path / name).write_text(content)
        dataset = labelled_file(tmp_path / name, "test", ("text", "label"))
        assert read(dataset, "test") == [{"text": "one", "label": "x"}]
    with pytest.raises(UserError, match=r"must end in \.csv, \.jsonl or \.tsv"):
        labelled_file(tmp_path / "a.txt", "test", ("text", "label"))


@pytest.mark.parametrize(
    ("name", "counts", "labels"),
    [
        ("sst2", (6920 + 872, 1821), {"0", "1"}),
        ("trec", (5452, 500), {"ABBR", "DESC", "ENTY", "HUM", "LOC", "NUM"}),
        ("ag_news", (8000, 7600), {"1", "2", "3", "4"}),
    ],
)
def test_real_data(real_data, monkeypatch, name, counts, labels):
    monkeypatch.setenv("SEQ2SEQ_DATA", str(real_data))
    data = build(composed([f"data={name}"]), "data")
    train, validation, test = (read(data, split) for split in ("train", "validation", "test"))
    assert (len(train) + len(validation), len(test)) == counts
    for split in (train, validation, test):
        assert {record["label"] for record in split} == labels

    @pytest.mark.parametrize(
        ("value", "message"),
        [
            ("[" * 100_000 + "]" * 100_000, "nested too deeply"),
            ("9" * 5000, "cannot be read as JSON"),
            ('{"x": ' * 900 + "1" + "}" * 900, "is not a text but"),
            ('"\\ud800"', "unpaired surrogate"),
        ],
    )
    def test_values_that_break_readers(self, files, value, message):
        folder = files(a__jsonl=f'{{"t": {value}, "l": "x"}}\n')
        data = LabelledJsonl(str(folder), {"train": "a.jsonl"}, {"text": "t", "label": "l"})
        with pytest.raises(UserError, match=rf"a.jsonl:1.*{message}"):
            read(data)
