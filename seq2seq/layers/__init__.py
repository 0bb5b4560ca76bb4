"""Keras layers that know nothing of tasks, text or config."""
