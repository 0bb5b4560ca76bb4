"""Tokenizers of words and characters by TensorFlow's operations on strings, for a SavedModel."""

import json

import numpy as np
import tensorflow as tf

from seq2seq.data.tokenizers.tokenizer import END, PAD, START, UNKNOWN, Tokenizer

_SPACES = (
    r"[\t\n\v\f\r \x{85}\x{A0}\x{1680}\x{2000}-\x{200A}\x{2028}\x{2029}\x{202F}\x{205F}\x{3000}]+"
)
_BLANK = r"[\p{Z}\p{Cc}\p{Cf}\x{115F}\x{1160}\x{3164}\x{FFA0}\x{2800}\x{FE00}-\x{FE0F}]*"
"""What `is_blank` finds blank."""
_BUCKETS = 2**63 - 1


class GraphTokenizer:
    """Encodes and decodes texts in a graph.

    Args:
        tokenizer: A tokenizer of words or characters without normalisation.

    Raises:
        ValueError: If TensorFlow's operations do not suffice for the tokenizer.
    """

    def __init__(self, tokenizer: Tokenizer) -> None:
        settings = tokenizer.settings
        if settings["kind"] not in ("word", "character"):
            raise ValueError(f"TensorFlow has no operations for {settings['kind']} tokenizers")
        if settings["lowercase"] or settings["normalization"] is not None:
            raise ValueError("TensorFlow has no operations for normalised texts")
        self.of_words = settings["kind"] == "word"
        self.texts = tokenizer.piece_texts()
        vocabulary = json.loads(tokenizer.standard_text())["model"]["vocab"]
        pieces = sorted(vocabulary, key=vocabulary.__getitem__)
        first = 4 if self.of_words else 260  # after the special tokens and the bytes
        known = tf.constant(pieces[first:])
        hashes = tf.strings.to_hash_bucket_fast(known, _BUCKETS).numpy()
        order = np.argsort(hashes)
        self.hashes, self.pieces = hashes[order], known.numpy()[order]
        self.ids = (order + first).astype(np.int32)

    def encode(self, texts: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Returns token ids, int32 `(batch, length)`, and lengths `(batch,)`.

        A text without a visible character has no tokens, see `is_blank`.
        """
        texts = tf.where(tf.strings.regex_full_match(texts, _BLANK), "", texts)
        if self.of_words:
            texts = tf.strings.strip(tf.strings.regex_replace(texts, _SPACES, " "))
            words = tf.strings.split(texts, " ")
            words = tf.ragged.boolean_mask(words, tf.not_equal(words, ""))
            ids = words.with_flat_values(tf.maximum(self._lookup(words.flat_values), UNKNOWN))
        else:
            characters = tf.strings.unicode_split(texts, "UTF-8")
            ids = characters.with_values(self._characters(characters.flat_values))
            ids = ids.merge_dims(1, 2)
        lengths = tf.cast(ids.row_lengths(), tf.int32)
        return ids.to_tensor(shape=(None, None)), lengths

    def decode(self, ids: tf.Tensor, lengths: tf.Tensor) -> tf.Tensor:
        """Returns the texts of token ids `(batch, length)`, strings `(batch,)`."""
        visible = tf.sequence_mask(lengths, tf.shape(ids)[1])
        for special in (PAD, START, END):
            visible &= tf.not_equal(ids, special)
        pieces = tf.gather(tf.constant(self.texts), ids)
        ragged = tf.ragged.boolean_mask(pieces, visible)
        texts = tf.strings.reduce_join(ragged, axis=1, separator=" " if self.of_words else "")
        return tf.strings.unicode_transcode(texts, "UTF-8", "UTF-8")

    def _lookup(self, pieces: tf.Tensor) -> tf.Tensor:
        """Returns the ids of strings `(pieces,)`; -1 for what is not in the vocabulary."""
        hashes = tf.strings.to_hash_bucket_fast(pieces, _BUCKETS)
        places = tf.searchsorted(tf.constant(self.hashes), hashes)
        places = tf.minimum(places, len(self.hashes) - 1)
        same = tf.equal(tf.gather(tf.constant(self.pieces), places), pieces)
        return tf.where(same, tf.gather(tf.constant(self.ids), places), -1)

    def _characters(self, characters: tf.Tensor) -> tf.RaggedTensor:
        """Returns the ids of each character: its own, or those of its UTF-8 bytes."""
        ids = self._lookup(characters)
        known = ids >= 0
        own = tf.RaggedTensor.from_row_lengths(ids[known], tf.cast(known, tf.int64))
        values = tf.strings.bytes_split(tf.where(known, "", characters))
        numbers = tf.cast(tf.io.decode_raw(values.flat_values, tf.uint8)[:, 0], tf.int32)
        return tf.concat([own, values.with_flat_values(numbers + 4)], axis=1)
