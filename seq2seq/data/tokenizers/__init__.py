"""Texts and tokens as ids: tokenizers, vocabularies, word vectors."""
