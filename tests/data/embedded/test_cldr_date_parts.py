import datetime

import pytest

from seq2seq.data.embedded.cldr_date_parts import CldrDateParts, date_parts
from seq2seq.data.embedded.cldr_dates import DateFormat, date_formats, write_date
from seq2seq.data.tokenizers.word_splitter import WordSplitter
from seq2seq.errors import UserError

SPLIT = WordSplitter(r"<\p{L}+>|\p{N}+|[\p{L}\p{M}]+|[^\s]")
DATE = datetime.date(2051, 8, 27)


@pytest.mark.parametrize(
    ("language", "pattern", "expected"),
    [
        ("en", "EEEE, MMMM d, y", "Sunday/WEEKDAY ,/- August/MONTH 27/DAY ,/- 2051/YEAR"),
        ("fr", "dd/MM/y", "<fr>/LANGUAGE 27/DAY //- 08/MONTH //- 2051/YEAR"),
        ("es", "d 'de' MMMM 'de' y", "27/DAY de/WORD agosto/MONTH de/WORD 2051/YEAR"),
        ("ja", "y年M月d日", "2051/YEAR 年/WORD 8/MONTH 月/WORD 27/DAY 日/WORD"),
        ("he", "d בMMMM y", "27/DAY באוגוסט/MONTH 2051/YEAR"),
    ],
)
def test_each_token_has_the_part_of_its_field(language, pattern, expected):
    parts = date_parts(DATE, DateFormat(language, pattern), SPLIT)
    shown = " ".join(
        f"{token}/{'-' if label == 'PUNCTUATION' else label}" for token, label in parts
    )
    assert shown == expected


def test_every_format_is_cut_without_loss_and_has_day_month_and_year():
    for date_format in date_formats():
        parts = date_parts(DATE, date_format, SPLIT)
        text = write_date(DATE, date_format)
        assert "".join(token for token, _ in parts) == "".join(text.split())
        assert {"DAY", "MONTH", "YEAR"} <= {label for _, label in parts}


def test_a_pattern_that_finds_nothing():
    with pytest.raises(UserError, match="finds no token"):
        next(CldrDateParts("#").records("test"))
