"""BPE-dropout: other pieces, the same text."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from seq2seq.data.tokenizers.tokenizer import Tokenizer
from seq2seq.errors import UserError

TEXTS = [
    "lower lowest newer newest wider widest",
    "the newest bakery is wider than the lower one",
    "don't slow down: the tallest, slowest lowlander knows &apos;s",
] * 3


def bpe(dropout):
    return Tokenizer("bpe", 300, dropout=dropout).fit(TEXTS)


@settings(deadline=None, derandomize=True, max_examples=60)
@given(st.text(max_size=30), st.integers(0, 5))
def test_without_dropout_it_is_the_library_s_encoding_and_with_it_the_same_text(text, epoch):
    [ids] = bpe(1e-12).for_training(seed=1, epoch=epoch).encode([text])
    np.testing.assert_array_equal(ids, bpe(0.0).encode([text])[0])
    often = bpe(0.5)
    pieces = often.for_training(seed=1, epoch=epoch).encode([text])
    assert often.decode(pieces) == often.decode(often.encode([text]))


def encoded(seed, epoch, texts=TEXTS):
    return [ids.tolist() for ids in bpe(0.3).for_training(seed, epoch).encode(texts)]


def test_a_pure_function_of_seed_epoch_and_text():
    assert encoded(1, 0) == encoded(1, 0)
    assert encoded(1, 0) != encoded(1, 1)
    assert encoded(1, 0) != encoded(2, 0)
    assert encoded(1, 0, TEXTS[::-1]) == encoded(1, 0)[::-1]


def test_the_share_of_merges_left_out():
    """A word of one merge stays whole as often as its merge is kept."""
    tokenizer = Tokenizer("bpe", 261, dropout=0.25).fit(["ab " * 20])  # 260 ids and a merge
    words = ["ab" + chr(0x4E00 + number) for number in range(1500)]  # each is drawn by itself
    whole = [260 in ids for ids in tokenizer.for_training(1, 0).encode(words)]
    assert np.mean(whole) == pytest.approx(0.75, abs=0.04)


def test_prediction_knows_no_dropout_and_other_kinds_refuse_it(tmp_path):
    tokenizer = bpe(0.5)
    assert tokenizer.encode(TEXTS[:1])[0].tolist() == bpe(0.0).encode(TEXTS[:1])[0].tolist()
    tokenizer.save(tmp_path / "source.json")
    again = Tokenizer.load(tmp_path / "source.json")
    assert again.encode(TEXTS[:1])[0].tolist() == tokenizer.encode(TEXTS[:1])[0].tolist()
    assert bpe(0.0).for_training(1, 0).encode(TEXTS) is not None
    for kind in ("word", "character", "unigram"):
        with pytest.raises(UserError, match=f"the kind {kind} has none"):
            Tokenizer(kind, 300, dropout=0.1)
    with pytest.raises(UserError, match="dropout=1"):
        Tokenizer("bpe", 300, dropout=1.0)
