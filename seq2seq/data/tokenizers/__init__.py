"""Tokenizers, vocabularies and word vectors: texts and tokens as ids."""
