"""Text that comes token by token, against the text of all tokens."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from seq2seq.data.tokenizers.tokenizer import Tokenizer
from seq2seq.inference.text_stream import TextStream

TEXT = "ab ba\nabba bab\n\nça 日 a b\n" * 3
TOKENIZERS = {
    kind: Tokenizer(kind, size).fit([TEXT])
    for kind, size in (("character", None), ("word", None), ("bpe", 270))
}


def streamed(kind, ids, before=(), stop=()):
    stream = TextStream(TOKENIZERS[kind], before, stop)
    pieces = []
    for token in ids:
        pieces.append(stream.push(token))
        if stream.stopped:
            break
    return "".join([*pieces, stream.close()]), stream, pieces


@settings(derandomize=True, deadline=None, max_examples=60)
@given(st.sampled_from(sorted(TOKENIZERS)), st.text(alphabet="ab \nç日x🙂", max_size=12), st.data())
def test_the_pieces_are_the_text(kind, text, data):
    tokenizer = TOKENIZERS[kind]
    ids = tokenizer.encode([text])[0].tolist()
    cut = data.draw(st.integers(0, len(ids)))
    if kind == "character" and "\ufffd" in tokenizer.decode([ids[:cut]])[0]:
        cut = 0  # a prompt is whole characters
    found, _, _ = streamed(kind, ids[cut:], before=ids[:cut][-4:])
    if kind == "bpe" and "\ufffd" in tokenizer.decode([ids[:cut]])[0]:
        return
    assert tokenizer.decode([ids[:cut]])[0] + found == tokenizer.decode([ids])[0]


def test_a_character_is_handed_out_once_all_its_bytes_are_there():
    ids = TOKENIZERS["character"].encode(["a🙂b"])[0].tolist()
    found, _, pieces = streamed("character", ids)
    assert found == "a🙂b"
    assert pieces == ["a", "", "", "", "🙂", "b"]


@pytest.mark.parametrize(
    ("stop", "expected"),
    [
        (["bba"], "ab ba\na"),
        (["\n"], "ab ba"),
        (["zz", "ba\na"], "ab "),
        (["bab\n\n\n"], "ab ba\nabba bab\n\n"),  # begins, but does not come
        (["a", "ab"], ""),
    ],
)
def test_a_stop_string_ends_the_text_and_is_never_shown(stop, expected):
    ids = TOKENIZERS["character"].encode(["ab ba\nabba bab\n\n"])[0].tolist()
    found, stream, pieces = streamed("character", ids, stop=stop)
    assert found == expected
    assert stream.stopped == (expected != "ab ba\nabba bab\n\n")
    assert "".join(pieces) == found[: len("".join(pieces))]


@settings(derandomize=True, deadline=None, max_examples=60)
@given(st.text(alphabet="ab", max_size=12), st.lists(st.text("ab", min_size=1, max_size=3)))
def test_stop_strings_cut_where_the_first_of_them_is_complete(text, stops):
    ids = TOKENIZERS["character"].encode([text])[0].tolist()
    ends = [end for end in range(len(text) + 1) if any(text[:end].endswith(s) for s in stops)]
    expected = text
    if ends:
        longest = max(len(s) for s in stops if text[: ends[0]].endswith(s))
        expected = text[: ends[0] - longest]
    assert streamed("character", ids, stop=stops)[0] == expected
