"""Generation: a stream in, the same stream one step later out."""

from seq2seq.tasks.generation.task import Generation

__all__ = ["Generation"]
