"""What a task says about its input and about one observed prediction."""

from typing import NamedTuple

from seq2seq.data.tokenizers.tokenizer import Tokenizer
from seq2seq.layers.call_recorder import Call


class InputVocabulary(NamedTuple):
    """The tokens of a task's input: what they are, such as `word`, and each by its id."""

    kind: str
    tokens: list[str]

    @classmethod
    def of(cls, tokenizer: Tokenizer) -> "InputVocabulary":
        """Returns the vocabulary of a tokenizer."""
        return cls(tokenizer.settings["kind"], tokenizer.pieces(range(tokenizer.size)))


class Observation(NamedTuple):
    """A prediction, the tokens that each part of the model has read, and the recorded calls."""

    source: str
    prediction: str
    tokens: dict[str, list[str]]
    calls: list[Call]
