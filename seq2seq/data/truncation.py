"""Long texts, cut."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from seq2seq.data.token_store import Encoder


class Truncated:
    """Encodes as another encoder does, but keeps only the first tokens of each text.

    Args:
        encoder: The other encoder.
        maximum_length: How many tokens are kept.
    """

    def __init__(self, encoder: Encoder, maximum_length: int) -> None:
        self.encoder, self.maximum_length = encoder, maximum_length

    @property
    def fingerprint(self) -> str:
        """A hash of all that decides on the tokens."""
        return f"{self.encoder.fingerprint} {self.maximum_length}"

    def encode(self, values: Sequence[Any]) -> list[np.ndarray]:
        """Returns the tokens of each text, at most `maximum_length`."""
        return [tokens[: self.maximum_length] for tokens in self.encoder.encode(values)]
