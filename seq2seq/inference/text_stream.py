"""Decodes tokens to text as they are generated."""

from collections.abc import Sequence

from seq2seq.data.tokenizers.tokenizer import Tokenizer
from seq2seq.tasks.generation.prediction import continuation

_UNFINISHED = "\ufffd"
_CHARACTER_BYTES = 4


class TextStream:
    """Decodes tokens to text, and returns it as soon as later tokens cannot change it.

    Incomplete characters and possible beginnings of stop strings are held back.

    Args:
        tokenizer: The tokenizer of the tokens.
        before: The last token ids of the text that is continued.
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
        """Returns the rest of the text, after the last token."""
        if self.stopped:
            return ""
        text = self._final(continuation(self.tokenizer, self._before, self._unfinished))
        return text if self.stopped else text + self._held

    def _final(self, text: str) -> str:
        self._before = [*self._before, *self._unfinished][-_CHARACTER_BYTES:]
        self._unfinished = []
        text = self._held + text
        positions = [position for position in map(text.find, self.stop) if position >= 0]
        if positions:
            self.stopped, self._held = True, ""
            return text[: min(positions)]
        end = len(text) - max((_overlap(text, stop) for stop in self.stop), default=0)
        self._held = text[end:]
        return text[:end]


def _overlap(text: str, stop: str) -> int:
    """Returns the length of the text's longest suffix that is a proper prefix of `stop`."""
    longest = min(len(text), len(stop) - 1)
    return next((n for n in range(longest, 0, -1) if text.endswith(stop[:n])), 0)
