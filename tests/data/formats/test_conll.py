"""Sentences in columns: reading any layout, and writing a column while all else stays."""

import logging

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from seq2seq.data.formats.conll import CONLLU, ColumnFormat, Conll
from seq2seq.data.formats.text_files import read_whole_lines
from seq2seq.errors import UserError

CONLL2003 = """-DOCSTART- -X- -X- O

EU NNP I-NP I-ORG
rejects VBZ I-VP O

# # I-NP O


"""
UD = (
    "# sent_id = 1\n"
    "# text = vámonos al mar\n"
    "1-2\tvámonos\t_\t_\t_\t_\t_\t_\t_\t_\n"
    "1\tvamos\tir\tVERB\t_\t_\t0\troot\t_\t_\r\n"
    "2\tnos\tnosotros\tPRON\t_\t_\t1\tobj\t_\t_\n"
    "3-4\tal\t_\t_\t_\t_\t_\t_\t_\t_\n"
    "3\ta\ta\tADP\t_\t_\t5\tcase\t_\t_\n"
    "4\tel\tel\tDET\t_\t_\t5\tdet\t_\t_\n"
    "5\tmar azul\tmar\tNOUN\t_\t_\t1\tobl\t_\tSpaceAfter=No\n"
    "5.1\tvamos\tir\tVERB\t_\t_\t_\t_\t_\t_\n"
    "\n"
    "# newpar\n"
    "1\tSí\tsí\tINTJ\t_\t_\t0\troot\t_\t_"
)


def lines_of(text):
    return text.splitlines(keepends=True)


def records(folder, text, columns, **settings):
    (folder / "train").write_bytes(text.encode())
    return list(Conll(str(folder), {"train": "train"}, columns, **settings).records("train"))


def test_conll_2003(tmp_path):
    found = records(tmp_path, CONLL2003, {"tokens": 0, "pos": 1, "labels": -1})
    assert found == [
        {"tokens": ["EU", "rejects"], "pos": ["NNP", "VBZ"], "labels": ["I-ORG", "O"]},
        {"tokens": ["#"], "pos": ["#"], "labels": ["O"]},
    ]
    assert [record.place for record in found] == [f"{tmp_path / 'train'}:{n}" for n in (3, 6)]


def test_conllu_passes_over_ranges_and_empty_nodes(tmp_path):
    settings = {"delimiter": "\t", "comment": "#", "word_ids": True}
    found = records(tmp_path, UD, {"tokens": 1, "labels": 3}, **settings)
    assert found == [
        {
            "tokens": ["vamos", "nos", "a", "el", "mar azul"],
            "labels": ["VERB", "PRON", "ADP", "DET", "NOUN"],
        },
        {"tokens": ["Sí"], "labels": ["INTJ"]},
    ]


def test_lines_of_blanks_and_byte_order_marks_end_sentences(tmp_path):
    """As in WNUT 17, whose train file has lines of one tab, and whose dev file ends in a mark."""
    text = "\ufeffa\tO\nb c\tB-X\n\t\nd\u200b\tO\n\n\ufeff\n"
    assert records(tmp_path, text, {"tokens": 0, "labels": 1}, delimiter="\t") == [
        {"tokens": ["a", "b c"], "labels": ["O", "B-X"]},
        {"tokens": ["d\u200b"], "labels": ["O"]},
    ]


@pytest.mark.parametrize("labels", [1, -1])
def test_a_sentence_with_too_short_a_line_is_left_out_and_reported(tmp_path, caplog, labels):
    columns = {"tokens": 0, "labels": labels}
    with caplog.at_level(logging.WARNING, logger="seq2seq"):
        found = records(tmp_path, "a O\nb\n\n" + "c O\n\n" * 20, columns)
    assert found == [{"tokens": ["c"], "labels": ["O"]}] * 20
    assert "1 sentence(s) left out, as a line has too few columns" in caplog.text
    assert f"{tmp_path / 'train'}:2" in caplog.text


def test_a_wrong_layout_is_an_error(tmp_path):
    with pytest.raises(UserError, match=r"train:3: 4 column\(s\), but labels stand in column 5 "):
        records(tmp_path, CONLL2003, {"tokens": 0, "labels": 5})
    with pytest.raises(UserError, match="must name the column of the tokens"):
        Conll(".", {"train": "x"}, {"words": 0})


@pytest.mark.parametrize(
    ("layout", "text", "label", "expected"),
    [
        (ColumnFormat({"tokens": 0, "labels": -1}), "a  X\t O \r\n", "B", "a  X\t B \r\n"),
        (ColumnFormat({"tokens": 0, "labels": -1}), "a\n", "B", "a B\n"),
        (ColumnFormat({"tokens": 0, "labels": 1}), "a", "B", "a B"),
        (ColumnFormat({"tokens": 0, "labels": 3}), "a NN\n", "B", "a NN _ B\n"),
        (ColumnFormat({"tokens": 0, "labels": 1}, "\t"), "a b\t\tx\n", "B", "a b\tB\tx\n"),
        (ColumnFormat({"tokens": 0, "labels": 1}, "\t"), "a b\n", "B", "a b\tB\n"),
        (ColumnFormat({"tokens": 1, "labels": 0}), "O a\n", "B", "B a\n"),
    ],
)
def test_one_column_is_replaced(layout, text, label, expected):
    (sentence,) = layout.sentences([text])
    assert layout.filled(sentence, "labels", [label]) == expected


@given(st.text("ab#\t \n\r\ufeff1-._", max_size=60), st.sampled_from([CONLLU, None]))
@settings(derandomize=True, deadline=None, max_examples=300)
def test_no_line_is_lost_and_own_labels_change_nothing(text, layout):
    layout = layout or ColumnFormat({"tokens": 0, "labels": -1})
    lines = [line for line in text.split("\n") if line]
    lines = [line + "\n" for line in lines]
    written = []
    for sentence in layout.sentences(lines):
        assert lines[sentence.first_line - 1 :][: len(sentence.lines)] == sentence.lines
        short = any(
            len(layout._cells(sentence.lines[i].rstrip("\r\n"))) < 4 for i in sentence.words
        )
        if layout is CONLLU and short:
            written += sentence.lines
            continue
        labels = layout.values(sentence, ["labels"])["labels"]
        if any(len(layout._cells(sentence.lines[i].strip())) < 2 for i in sentence.words):
            written += sentence.lines  # a label would be added
            continue
        written.append(layout.filled(sentence, "labels", labels))
    assert "".join(written) == "".join(lines)


def test_whole_lines_are_the_file(tmp_path):
    content = "\ufeffone\r\n\ntwo\u2028\n\rthree".encode()
    (tmp_path / "text").write_bytes(content)
    assert "".join(read_whole_lines(tmp_path / "text")).encode() == content


def test_a_file_without_the_column_of_labels_keeps_its_own(files):
    folder = files(train="EU NNP I-NP I-ORG\nrejects VBZ I-VP O\n\n", new="A DT I-NP\nB\n\n")
    dataset = Conll(str(folder), {"train": "train"}, {"tokens": 0, "labels": -1})
    assert dataset.measured_format("train").width == 4
    layout = dataset.measured_format("train")
    [sentence] = layout.sentences(read_whole_lines(folder / "new"))
    filled = layout.filled(sentence, "labels", ["X", "Y"])
    assert filled == "A DT I-NP X\nB _ _ Y\n\n"
    [again] = layout.sentences(lines_of(filled))
    assert layout.values(again, ["tokens", "labels"]) == {
        "tokens": ["A", "B"],
        "labels": ["X", "Y"],
    }
    data = Conll(str(folder), {"test": "new"}, **vars(layout))
    with pytest.raises(UserError, match=r"new:1: 3 column\(s\), but labels stand in column 3"):
        list(data.records("test"))
