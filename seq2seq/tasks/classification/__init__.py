"""Classification: one or two texts, and numbers -> one label, or any number of labels."""

from seq2seq.tasks.classification.task import Classification

__all__ = ["Classification"]
