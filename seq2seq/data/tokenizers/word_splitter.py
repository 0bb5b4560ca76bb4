"""Splits raw text into tokens by a regular expression."""

from tokenizers import Regex
from tokenizers.pre_tokenizers import Split

from seq2seq.errors import UserError

WORDS = r"[\p{L}\p{M}\p{N}_]+|[^\s]"
"""A run of letters, marks, digits and underscores; any other character stands by itself."""


class WordSplitter:
    r"""Splits raw text into tokens.

    Args:
        pattern: A regular expression (Oniguruma's, with `\p{L}` for letters) that matches a token;
            text between tokens is dropped.

    Raises:
        UserError: If the pattern cannot be read.

    Example:
        >>> WordSplitter()("It's 3 p.m.")
        [('It', 0), ("'", 2), ('s', 3), ('3', 5), ('p', 7), ('.', 8), ('m', 9), ('.', 10)]
    """

    def __init__(self, pattern: str = WORDS) -> None:
        try:
            self._split = Split(Regex(pattern), "removed", invert=True)
        except Exception as error:  # the library raises plain Exception
            raise UserError(
                f"pattern {pattern!r}: cannot be read as a regular expression ({error})"
            ) from error

    def __call__(self, text: str) -> list[tuple[str, int]]:
        """Returns each token with the index of its first character."""
        return [(piece, start) for piece, (start, _) in self._split.pre_tokenize_str(text)]

    def tokens(self, text: str) -> list[str]:
        """Returns the tokens."""
        return [piece for piece, _ in self(text)]
