"""Compiled kernels: recurrent layers and the loss of large vocabularies as single operations."""
