"""Datasets from files, one format per module, and from TensorFlow Datasets."""
