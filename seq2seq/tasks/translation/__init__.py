"""Translation: a sequence in, another sequence out."""

from seq2seq.tasks.translation.task import Translation

__all__ = ["Translation"]
