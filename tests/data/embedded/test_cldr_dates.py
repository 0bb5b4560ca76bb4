import datetime
import hashlib
import os
import re
import subprocess
import sys
from collections import Counter, defaultdict

import pytest

from seq2seq.data.embedded import cldr_dates

_DIGEST_PROGRAM = """
import hashlib
from seq2seq.data.embedded.cldr_dates import SPLIT_SIZES, date_examples
content = [list(date_examples(split)) for split in SPLIT_SIZES]
print(hashlib.sha256(repr(content).encode()).hexdigest())
"""


@pytest.fixture(scope="module")
def examples():
    return {split: list(cldr_dates.date_examples(split)) for split in cldr_dates.SPLIT_SIZES}


@pytest.fixture(scope="module")
def everything(examples):
    return [example for split in examples.values() for example in split]


def test_sizes_and_no_date_in_two_examples(examples, everything):
    assert {split: len(rows) for split, rows in examples.items()} == {
        "train": 40_000,
        "validation": 2_000,
        "test": 2_000,
    }
    assert len({example.target for example in everything}) == 44_000
    dates = [datetime.date.fromisoformat(example.target) for example in everything]
    assert min(dates).year == 1900
    assert max(dates).year == 2099


def test_no_text_twice(everything):
    assert len({example.source for example in everything}) == 44_000


def test_every_language_and_format_is_in_train(examples):
    counts = Counter(example.language for example in examples["train"])
    assert len(counts) == 25
    assert min(counts.values()) > 1_400


def test_no_text_of_a_whole_year_has_two_readings():
    readings = defaultdict(set)
    for year in (1900, 2096):  # a common year and a leap year, other than those the module tries
        for day in range(366 if year == 2096 else 365):
            date = datetime.date(year, 1, 1) + datetime.timedelta(days=day)
            for date_format in cldr_dates.date_formats():
                readings[cldr_dates.write_date(date, date_format)].add(date)
    assert [text for text, dates in readings.items() if len(dates) > 1] == []


def test_the_year_is_the_only_number_of_four_digits(everything):
    for example in everything:
        assert re.findall(r"\d{3,}", example.source) == [example.target[:4]]


def test_a_month_in_mere_digits_only_behind_the_language_tag(everything):
    tag = re.compile(r"<([a-z]{2})> ")
    for example in everything:
        found = tag.match(example.source)
        assert found is None or found[1] == example.language
        letters = [c for c in tag.sub("", example.source) if c.isalpha()]
        assert found or letters


def test_english_dates_are_read_by_the_standard_library(everything):
    written = ["%A, %B %d, %Y", "%B %d, %Y", "%b %d, %Y", "%a, %b %d, %Y"]
    patterns = [*written, "<en> %m/%d/%Y", "<en> %a, %m/%d/%Y"]
    english = [example for example in everything if example.language == "en"]
    for example in english:
        assert example.target in set(_read(example.source, patterns))


def _read(text, patterns):
    for pattern in patterns:
        try:
            yield datetime.datetime.strptime(text, pattern).date().isoformat()
        except ValueError:
            continue


@pytest.mark.parametrize(
    ("language", "pattern", "text"),
    [
        ("fr", "dd/MM/y", "<fr> 07/08/2051"),
        ("fr", "EEEE d MMMM y", "lundi 7 août 2051"),
        ("ja", "y年M月d日", "2051年8月7日"),
        ("ja", "y/MM/dd", "<ja> 2051/08/07"),
        ("ru", "ccc, dd.MM.y\u202f'г'.", "<ru> пн, 07.08.2051\u202fг."),
        ("th", "d MMMM G y", "7 สิงหาคม ค.ศ. 2051"),
    ],
)
def test_known_texts(language, pattern, text):
    assert cldr_dates.DateFormat(language, pattern) in cldr_dates.date_formats()
    date = datetime.date(2051, 8, 7)
    assert cldr_dates.write_date(date, cldr_dates.DateFormat(language, pattern)) == text


def test_ambiguous_formats_are_found(monkeypatch):
    month_first = cldr_dates.DateFormat("fr", "MM/dd/y")
    formats = [*cldr_dates.date_formats(), month_first]
    monkeypatch.setattr(cldr_dates, "date_formats", lambda: formats)
    assert cldr_dates.ambiguous_formats() == {month_first, cldr_dates.DateFormat("fr", "dd/MM/y")}


def test_independent_of_locale_time_zone_and_hash_seed(examples):
    strange = {"LC_ALL": "tr_TR.UTF-8", "LANG": "th_TH", "TZ": "Asia/Tokyo", "PYTHONHASHSEED": "7"}
    program = [sys.executable, "-c", _DIGEST_PROGRAM]
    result = subprocess.run(
        program, env=os.environ | strange, capture_output=True, text=True, check=True
    )
    here = hashlib.sha256(repr(list(examples.values())).encode()).hexdigest()
    assert result.stdout.strip() == here
