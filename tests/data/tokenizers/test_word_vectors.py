import gzip
import logging

import numpy as np
import pytest

from seq2seq.data.tokenizers.word_vectors import read_word_vectors
from seq2seq.errors import UserError

GLOVE = "the 0.5 -1 2e-3\n. . . 1 2 3\nNew York 4 5 6\n"


@pytest.mark.parametrize("header", ["", "3 3\n"], ids=["GloVe", "word2vec"])
@pytest.mark.parametrize("compress", [str.encode, lambda text: gzip.compress(text.encode())])
def test_words_and_numbers(tmp_path, header, compress):
    (tmp_path / "vectors").write_bytes(compress(header + GLOVE))
    words, vectors = read_word_vectors(tmp_path / "vectors")
    assert words == ["the", ". . .", "New York"]
    np.testing.assert_array_equal(vectors, np.float32([[0.5, -1, 2e-3], [1, 2, 3], [4, 5, 6]]))
    assert vectors.dtype == np.float32
    assert read_word_vectors(tmp_path / "vectors", 1)[0] == ["the"]


def test_broken_lines_are_left_out_and_reported(tmp_path, caplog):
    (tmp_path / "vectors").write_text("a 1 2\nb 1 x\nc nan 2\nd\n\na 3 4\ne 5 6 \n")
    with caplog.at_level(logging.WARNING, logger="seq2seq"):
        words, vectors = read_word_vectors(tmp_path / "vectors")
    assert words == ["a", "e"]
    assert vectors.tolist() == [[1, 2], [5, 6]]
    assert "4 of 6 word vectors skipped" in caplog.text
    for line in (2, 3, 4, 6):
        assert f"vectors:{line}" in caplog.text


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("3 0\na 1 2\nb 1 2 3\n", r"vectors:2: 2 numbers, but the vectors before have 1"),
        ("9" * 5000 + " 3\na 1 2 3\n", r"vectors:2: 3 numbers, but the vectors before have 1"),
        ("a 1 2\nb 1 2 3\n", r"vectors:2: 3 numbers, but the vectors before have 2"),
        ("a 1 2\nb 1\n", r"vectors:2: 1 numbers, but the vectors before have 2"),
        ("2 5\na 1 2\n", r"vectors:2: 2 numbers, but the vectors before have 5"),
        ("only words\n", "there is no line of a word and its numbers"),
        ("", "there is no line of a word and its numbers"),
    ],
)
def test_what_is_no_file_of_vectors(tmp_path, text, message):
    (tmp_path / "vectors").write_text(text)
    with pytest.raises(UserError, match=message):
        read_word_vectors(tmp_path / "vectors")
