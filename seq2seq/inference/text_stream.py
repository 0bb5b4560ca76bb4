"""Tokens that come one by one, as text that is certain."""

from collections.abc import Sequence

from seq2seq.data.tokenizers.tokenizer import Tokenizer
from seq2seq.tasks.generation.prediction import continuation

_UNFINISHED = "\ufffd"
_CHARACTER_BYTES = 4


class TextStream:
    """Hands out the text of tokens as soon as later tokens cannot change it.

    A character whose bytes are not all there is held back, and so is what may become a stop string.

    Args:
        tokenizer: Turns ids into text.
        before: The ids that the stream goes on from.
        stop: Strings that end the text, and are no part of it.

    Attributes:
        stopped: Whether a stop string has come.
    """

    def __init__(self, tokenizer: Tokenizer, before: Sequence[int], stop: Sequence[str]) -> None:
        self.tokenizer, self.stop = tokenizer, stop
        self.stopped = False
        self._before, self._unfinished = list(before), list[int]()
        self._held = ""

    def push(self, token: int) -> str:
        """Takes the next token, and returns what has become certain."""
        self._unfinished.append(token)
        text = continuation(self.tokenizer, self._before, self._unfinished)
        if text.endswith(_UNFINISHED) and len(self._unfinished) < _CHARACTER_BYTES:
            return ""
        return self._certain(text)

    def close(self) -> str:
        """Returns what was held back; no token follows."""
        if self.stopped:
            return ""
        text = self._certain(continuation(self.tokenizer, self._before, self._unfinished))
        return text if self.stopped else text + self._held

    def _certain(self, text: str) -> str:
        self._before = [*self._before, *self._unfinished][-_CHARACTER_BYTES:]
        self._unfinished = []
        text = self._held + text
        places = [place for place in map(text.find, self.stop) if place >= 0]
        if places:
            self.stopped, self._held = True, ""
            return text[: min(places)]
        length = max((_overlap(text, stop) for stop in self.stop), default=0)
        certain = len(text) - length
        self._held = text[certain:]
        return text[:certain]


def _overlap(text: str, stop: str) -> int:
    """Returns how many of the text's last characters `stop` begins with."""
    longest = min(len(text), len(stop) - 1)
    return next((n for n in range(longest, 0, -1) if text.endswith(stop[:n])), 0)
