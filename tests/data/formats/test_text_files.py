import gzip
import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from seq2seq.data.formats.text_files import content_hash, find_file, is_blank, read_lines
from seq2seq.errors import UserError


def test_only_line_feeds_end_a_line(files):
    directory = files(a="one\u2028still one\u0085\x0b\x0c\rthis too\r\ntwo\n\nfour")
    assert list(read_lines(directory / "a")) == [
        "one\u2028still one\u0085\x0b\x0c\rthis too",
        "two",
        "",
        "four",
    ]


@pytest.mark.parametrize("end", ["\n", "\r\n"])
@given(lines=st.lists(st.text(st.characters(exclude_characters="\r\n", codec="utf-8")), min_size=1))
def test_reads_back_what_was_written(tmp_path_factory, end, lines):
    path = tmp_path_factory.mktemp("lines") / "a"
    path.write_bytes("".join(line + end for line in lines).encode())
    lines[0] = lines[0].removeprefix("\ufeff")
    assert list(read_lines(path)) == lines


def test_drops_a_byte_order_mark_at_the_start_only(files):
    directory = files(a="\ufeffone\n\ufefftwo\n")
    assert list(read_lines(directory / "a")) == ["one", "\ufefftwo"]


def test_gzip_is_known_by_its_content_and_found_by_its_suffix(files):
    compressed = gzip.compress("\ufeffeins\nzwei\n".encode())
    directory = files(plain_name=compressed, a__gz=compressed)
    assert list(read_lines(find_file(directory, "plain_name"))) == ["eins", "zwei"]
    assert list(read_lines(find_file(directory, "a"))) == ["eins", "zwei"]
    assert list(read_lines(find_file(directory, "a.gz"))) == ["eins", "zwei"]


def test_invalid_utf8_names_file_and_line(files):
    directory = files(a=b"fine\nna\xefve\n")
    with pytest.raises(UserError, match=r"a:2: invalid UTF-8 .*byte 3"):
        list(read_lines(directory / "a"))


def test_damaged_gzip(files):
    whole = gzip.compress(b"a line\n" * 10_000)
    directory = files(cut=whole[:-20], changed=whole[:30] + b"\0\0\0\0" + whole[34:])
    for name in ("cut", "changed"):
        with pytest.raises(UserError, match=f"{name}: damaged gzip"):
            list(read_lines(directory / name))


def test_missing_and_empty_files(files):
    directory = files(empty="", **{"train__en": "a\n"})
    with pytest.raises(UserError, match=r"train\.em in .*Did you mean train\.en.*SEQ2SEQ_DATA"):
        find_file(directory, "train.em")
    with pytest.raises(UserError, match=r"no folder .*nowhere.*data\.directory"):
        find_file(directory / "nowhere", "train.en")
    with pytest.raises(UserError, match="empty is empty"):
        find_file(directory, "empty")


def test_content_hash_is_that_of_the_bytes(files):
    directory = files(a="same", b="same", c="other")
    hashes = [content_hash(directory / name) for name in "abc"]
    assert hashes[0] == hashes[1] != hashes[2]


@pytest.mark.parametrize(
    "text",
    ["", " ", "\t", "\u00a0", "\u3000", "\u200b\u200d", "\ufeff", "\x00\x07", "\u3164 \ufe0f"],
)
def test_nothing_to_see(text):
    assert is_blank(text)
    assert not is_blank(f"{text}.{text}")
    assert not is_blank(f"{text}\u0e01{text}")


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be"])
def test_utf_16_is_named(files, encoding):
    directory = files(a="one line\nand another\n".encode(encoding))
    with pytest.raises(UserError, match="a: is UTF-16"):
        list(read_lines(directory / "a"))


def test_lines_that_end_with_cr_alone(files):
    directory = files(a="one\rtwo\rthree\r", b="a text\rwith a CR inside")
    with pytest.raises(UserError, match="a: its lines end with CR alone"):
        list(read_lines(directory / "a"))
    assert list(read_lines(directory / "b")) == ["a text\rwith a CR inside"]


def test_what_is_no_file_is_named(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "folder").mkdir()
    for name, kind in (("pipe", "a pipe or device"), ("folder", "a folder")):
        with pytest.raises(UserError, match=f"{name} is {kind}; a file is needed"):
            find_file(tmp_path, name)
    for name in ("x" * 5000, "a\0b"):
        with pytest.raises(UserError, match=r"cannot be read|There is no file"):
            find_file(tmp_path, name)
    with pytest.raises(UserError, match="cannot be read"):
        list(read_lines(tmp_path / "folder"))
    with pytest.raises(UserError, match="cannot be read"):
        list(read_lines(tmp_path / "a\0b"))
