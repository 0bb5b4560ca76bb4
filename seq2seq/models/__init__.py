"""Keras models assembled from layers."""
