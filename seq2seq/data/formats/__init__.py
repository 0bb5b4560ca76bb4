"""Datasets read from files, one format a module; and from TensorFlow Datasets."""
