import pytest

from seq2seq.data.formats.json_lines import TaggedJsonl
from seq2seq.errors import UserError


def records(folder, text):
    (folder / "train").write_text(text)
    fields = {"tokens": "words", "labels": "ner"}
    return list(TaggedJsonl(str(folder), {"train": "train"}, fields).records("train"))


def test_lists_of_texts(tmp_path):
    found = records(tmp_path, '{"words": ["a", "b c"], "ner": ["O", "B-X"], "id": 3}\n')
    assert found == [{"tokens": ["a", "b c"], "labels": ["O", "B-X"]}]
    assert found[0].place == f"{tmp_path / 'train'}:1"


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (
            '{"words": ["a"]}',
            r"train:1: needs a list of texts under the key 'ner' \(data.fields.lab",
        ),
        ('{"words": "a", "ner": []}', "needs a list of texts under the key 'words'"),
        ('{"words": ["a", 3], "ner": []}', r"the value of 'words\[1\]' is not a text but 3"),
        ('{"words": ["\\ud800"], "ner": []}', "unpaired surrogate"),
    ],
)
def test_what_is_no_list_of_texts(tmp_path, line, message):
    with pytest.raises(UserError, match=message):
        records(tmp_path, line + "\n")
