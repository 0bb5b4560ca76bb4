"""Tokenizers in a graph give the ids and texts of the tokenizers themselves."""

import pytest
import tensorflow as tf

from seq2seq.data.embedded.cldr_languages import CldrLanguages
from seq2seq.data.tokenizers.tokenizer import Tokenizer
from seq2seq.tasks.graph_tokenizer import GraphTokenizer
from seq2seq.tasks.inputs import visible_ids

ODD = [
    "", " ", "a", "\u00a0\u200b", " two  words ", "tab\tand\u3000wide\u2028line", "naïve 漢字 🙂",
    "e\u0301", "\ufe0f", "a\u200bb", "<pad> </s> <unk>", "Ⅷ ﬁ İ ß", "\x00\x01", "x" * 300,
]  # fmt: skip


@pytest.fixture(scope="module")
def names():
    return [record["text"] for record in CldrLanguages().records("test")][:3000]


@pytest.mark.parametrize("kind", ["word", "character"])
def test_ids_and_texts_are_those_of_the_tokenizer(kind, names):
    tokenizer = Tokenizer(kind, minimum_frequency=2).fit(names[:1500])
    graph = GraphTokenizer(tokenizer)
    texts = [*names, *ODD]
    ids, lengths = tf.function(graph.encode)(tf.constant(texts))
    expected = visible_ids(tokenizer, texts)
    assert lengths.numpy().tolist() == list(map(len, expected))
    for row, known in zip(ids.numpy(), expected, strict=True):
        assert row[: len(known)].tolist() == known.tolist()
    decoded = tf.function(graph.decode)(ids, lengths).numpy()
    assert [text.decode() for text in decoded] == tokenizer.decode(expected)


@pytest.mark.parametrize(
    "settings", [{"kind": "bpe", "vocabulary_size": 300}, {"kind": "word", "lowercase": True}]
)
def test_what_tensorflow_cannot_do_is_refused(settings):
    with pytest.raises(ValueError, match="TensorFlow has no operations"):
        GraphTokenizer(Tokenizer(**settings).fit(["a b c"]))
