"""Turns tokens that arrive one by one into text."""

from collections.abc import Sequence

from seq2seq.data.tokenizers.tokenizer import Tokenizer
from seq2seq.tasks.generation.prediction import continuation

_UNFINISHED = "\ufffd"
_CHARACTER_BYTES = 4


class TextStream:
    """Returns the text of tokens as soon as later tokens cannot change it.

    Incomplete characters are held back, and the beginnings of stop strings.

    Args:
        tokenizer: Decodes ids.
        before: The ids of the text that is continued.
        stop: Strings that end the text; they are not returned.

    Attributes:
        stopped: Whether a stop string has occurred.
    """

    def __init__(self, tokenizer: Tokenizer, before: Sequence[int], stop: Sequence[str]) -> None:
        self.tokenizer, self.stop = tokenizer, stop
        self.stopped = False
        self._before, self._unfinished = list(before), list[int]()
        self._held = ""

    def push(self, token: int) -> str:
        """Adds a token, and returns the text that is final now."""
        self._unfinished.append(token)
        text = continuation(self.tokenizer, self._before, self._unfinished)
        if text.endswith(_UNFINISHED) and len(self._unfinished) < _CHARACTER_BYTES:
            return ""
        return self._final(text)

    def close(self) -> str:
        """Returns the rest of the text; no token follows."""
        if self.stopped:
            return ""
        text = self._final(continuation(self.tokenizer, self._before, self._unfinished))
        return text if self.stopped else text + self._held

    def _final(self, text: str) -> str:
        self._before = [*self._before, *self._unfinished][-_CHARACTER_BYTES:]
        self._unfinished = []
        text = self._held + text
        places = [place for place in map(text.find, self.stop) if place >= 0]
        if places:
            self.stopped, self._held = True, ""
            return text[: min(places)]
        length = max((_overlap(text, stop) for stop in self.stop), default=0)
        end = len(text) - length
        self._held = text[end:]
        return text[:end]


def _overlap(text: str, stop: str) -> int:
    """Returns the length of the longest suffix of the text with which `stop` begins."""
    longest = min(len(text), len(stop) - 1)
    return next((n for n in range(longest, 0, -1) if text.endswith(stop[:n])), 0)
