"""Keras layers of sequence models, which depend on no task, text or config."""
