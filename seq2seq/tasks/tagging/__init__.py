"""Tagging: a label for each token of a sentence."""

from seq2seq.tasks.tagging.task import Tagging

__all__ = ["Tagging"]
