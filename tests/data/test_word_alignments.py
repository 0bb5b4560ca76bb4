"""Word alignments in the format of Pharaoh, against alignments that are written out by hand."""

import gzip

import numpy as np
import pytest

from seq2seq.data.formats.parallel_text import ParallelText
from seq2seq.data.tokenizers.tokenizer import Tokenizer
from seq2seq.data.word_alignments import Links, links_of, token_alignments, words_of_characters
from seq2seq.errors import UserError


def parallel(directory, names="a.align"):
    return ParallelText(directory, {"train": "a.en"}, {"train": "a.de"}, alignments=names)


def aligned(files, lines):
    return files(a__en="the house\nyes\n", a__de="das Haus hier\nja\n", a__align=lines)


def test_records_have_their_line(files):
    data = parallel(aligned(files, "0-0 1-1 1-2\n\n"))
    assert [record["alignment"] for record in data.records("train")] == ["0-0 1-1 1-2", ""]
    assert data.has_alignments
    plain = ParallelText(aligned(files, "0-0\n0-0\n"), {"train": "a.en"}, {"train": "a.de"})
    assert not plain.has_alignments
    assert plain.fingerprint("train") != data.fingerprint("train")


def test_the_files_may_be_compressed_and_several(files, tmp_path):
    directory = files(a__en="x\n", b__en="y z\n", a__de="u\n", b__de="v\n", a__align="0-0\n")
    (tmp_path / "b.align.gz").write_bytes(gzip.compress(b"1-0\n"))
    names = [{"train": ["a.en", "b.en"]}, {"train": ["a.de", "b.de"]}]
    data = ParallelText(directory, *names, alignments=["a.align", "b.align"])
    assert [record["alignment"] for record in data.records("train")] == ["0-0", "1-0"]
    with pytest.raises(UserError, match=r"data.source.train names 2 .* data.alignments names 1"):
        ParallelText(directory, *names, alignments="a.align")


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        ("0-0\n", r"a\.align:2: the alignments have 1 lines, but the texts have 2"),
        ("0-0\n0-0\n\n0-0\n", r"a\.align:3: the alignments have 4 lines, but the texts have 2"),
        ("0-0 2-1\n0-0\n", r"a\.align:1: 2-1 names word 2 of the source, which has 2 word"),
        ("0-0\n0-0 0-1\n", r"a\.align:2: 0-1 names word 1 of the target, which has 1 word"),
        ("0-0\n0-0 0\n", r"a\.align:2: '0' is no alignment of two words"),
        ("0-0 0--1\n0-0\n", r"a\.align:1: '0--1' is no alignment"),
        ("0-0 -1-0\n0-0\n", r"a\.align:1: '-1-0' is no alignment"),
        ("0-0 ²-1\n0-0\n", r"a\.align:1: '²-1' is no alignment"),
    ],
)
def test_faulty_lines_are_refused_by_file_and_line(files, lines, message):
    with pytest.raises(UserError, match=message):
        list(parallel(aligned(files, lines)).records("train"))


def test_words_are_what_white_space_separates():
    text = "ein  Wort\u00a0und\tmehr "
    words = words_of_characters(text)
    assert ["".join(c for c, w in zip(text, words, strict=True) if w == n) for n in range(4)] == (
        text.split()
    )
    assert [character for character, word in zip(text, words, strict=True) if word == -1] == [
        character for character in text if character.isspace()
    ]


TEXTS = ["the houses, houses´ end", "a  house ", "", "Ἀθῆναι\u00a0of   naïveté"]


@pytest.mark.parametrize("kind", ["word", "character", "bpe", "unigram"])
@pytest.mark.parametrize("normalization", [None, "NFKC"])
def test_each_token_knows_its_word(kind, normalization):
    """The pieces of a word, put together, are the word."""
    size = 300 if kind in ("bpe", "unigram") else None
    tokenizer = Tokenizer(kind, size, normalization=normalization).fit(TEXTS)
    encoders = [tokenizer]
    if kind == "bpe":
        tokenizer = Tokenizer(kind, size, normalization=normalization, dropout=0.5).fit(TEXTS)
        encoders.append(tokenizer.for_training(seed=1, epoch=2))
    for encoder in encoders:
        rows = zip(TEXTS, encoder.encode(TEXTS), encoder.word_numbers(TEXTS), strict=True)
        for text, ids, words in rows:
            assert len(ids) == len(words)
            pieces = tokenizer.piece_texts()
            for number, word in enumerate(text.split()):
                own = b"".join(pieces[i] for i, w in zip(ids, words, strict=True) if w == number)
                expected = tokenizer.normalize(word).replace(" ", "")
                assert own.decode().replace(" ", "").replace("\u00a0", "") == expected
            assert set(words) <= {-1, *range(len(text.split()))}


def padded(rows):
    lengths = np.array([len(row) for row in rows], np.int32)
    array = np.zeros((len(rows), max(lengths)), np.int32)
    for number, row in enumerate(rows):
        array[number, : len(row)] = row
    return array, lengths


def test_tokens_share_the_alignment_of_their_words():
    lines = ["0-0 1-0 2-2", "", "0-0"]
    source = [[0, 0, -1, 1, 2], [0], [0, 0]]
    target = [[0, 1, 1, 2, 2], [0, 1], [0]]
    shares = token_alignments(padded(Links().encode(lines)), padded(source), padded(target))
    assert shares.dtype == np.float32
    expected = np.zeros((3, 5, 5))
    for row, line in enumerate(lines):
        links = links_of(line)
        for i, target_word in enumerate(target[row]):
            of_token = [(word, target_word) in links for word in source[row]]
            for j, is_linked in enumerate(of_token):
                expected[row, i, j] = is_linked / max(1, sum(of_token))
    np.testing.assert_allclose(shares, expected)
    np.testing.assert_allclose(shares[0, 0], [1 / 3, 1 / 3, 0, 1 / 3, 0])
    assert (shares[0, 1:3] == 0).all()  # a word that is aligned with nothing
    assert (shares[2, 0, 2:] == 0).all()  # padding
