"""Dates of `cldr_dates` as tokens labelled with the part of the date."""

import datetime
import unicodedata
from collections.abc import Iterator

import babel
from babel.dates import DateTimeFormat, tokenize_pattern

from seq2seq.data.dataset import Dataset
from seq2seq.data.embedded.cldr_dates import SPLIT_SIZES, DateFormat, dates_with_formats, write_date
from seq2seq.data.records import Record
from seq2seq.data.tokenizers.word_splitter import WordSplitter
from seq2seq.errors import UserError

TOKENS = r"<\p{L}+>|\p{N}+|[\p{L}\p{M}]+|[^\s]"
"""A language tag, a run of digits, a run of letters, or any other character by itself."""

PARTS = {
    "y": "YEAR", "M": "MONTH", "L": "MONTH", "d": "DAY", "E": "WEEKDAY", "c": "WEEKDAY", "G": "ERA",
}  # fmt: skip
LANGUAGE, WORD, PUNCTUATION = "LANGUAGE", "WORD", "PUNCTUATION"


def date_parts(
    date: datetime.date, date_format: DateFormat, split: WordSplitter
) -> list[tuple[str, str]]:
    """Returns the tokens of a written date with their labels.

    Text between the fields of the date is `WORD` or `PUNCTUATION`; a language tag is `LANGUAGE`.
    """
    text = write_date(date, date_format)
    labels: list[str] = []  # of each character; empty between fields
    fields = DateTimeFormat(date, locale=date_format.language)
    for kind, value in tokenize_pattern(date_format.pattern):
        if kind == "chars":
            labels += [""] * len(str(value))
        else:
            letter, count = str(value[0]), int(value[1])
            labels += [PARTS[letter]] * len(str(fields[letter * count]))
    labels = [LANGUAGE] * (len(text) - len(labels)) + labels
    return [
        # The label of a word that continues as a field, such as Hebrew's "in May", is the field's.
        (token, next(filter(None, labels[start : start + len(token)]), _literal(token)))
        for token, start in split(text)
    ]


def _literal(token: str) -> str:
    is_word = any(unicodedata.category(character)[0] in "LMN" for character in token)
    return WORD if is_word else PUNCTUATION


class CldrDateParts(Dataset):
    """The embedded dataset: tokens of dates in many languages -> the parts of a date.

    Args:
        pattern: Matches a token, see `WordSplitter`.

    Raises:
        UserError: If the pattern cannot be read.

    Example:
        >>> next(CldrDateParts().records("train"))
        {'tokens': ['6', 'ஆகஸ்ட்', ',', '2087'], 'labels': ['DAY', 'MONTH', 'PUNCTUATION', 'YEAR']}
    """

    def __init__(self, pattern: str = TOKENS) -> None:
        self._pattern, self._split = pattern, WordSplitter(pattern)
        super().__init__(SPLIT_SIZES)

    def describe(self) -> dict[str, str]:
        """Returns the name, and the version of Babel."""
        return {"name": "cldr_date_parts", "source": f"Unicode CLDR of Babel {babel.__version__}"}

    def _read(self, split: str) -> Iterator[Record]:
        for date, date_format in dates_with_formats(split):
            parts = date_parts(date, date_format, self._split)
            if not parts:
                raise UserError(f"data.pattern={self._pattern}: finds no token in a date.")
            tokens, labels = zip(*parts, strict=True)
            yield {"tokens": list(tokens), "labels": list(labels)}

    def _content(self, split: str) -> list[str]:
        return [self.describe()["source"], self._pattern, split]
