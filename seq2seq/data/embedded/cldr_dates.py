"""Dates in many languages and their ISO form, from Unicode CLDR.

The examples depend on the data of the Babel package alone: not on the locale, time zone or hash
seed of the machine.
"""

import datetime
import functools
import re
from collections import defaultdict
from collections.abc import Iterator
from typing import Any, NamedTuple

import babel
from babel.dates import format_date

from seq2seq.data.formats.tfds import Tfds, open_builder
from seq2seq.data.records import hash64
from seq2seq.errors import UserError

# fmt: off
LANGUAGES = (
    "ar", "bn", "cs", "de", "el", "en", "es", "fa", "fi", "fr", "he", "hi", "hu",
    "it", "ja", "ka", "ko", "pl", "pt", "ru", "ta", "th", "tr", "vi", "zh",
)
# fmt: on
FIRST_DATE = datetime.date(1900, 1, 1)
LAST_DATE = datetime.date(2099, 12, 31)
SPLIT_SIZES = {"train": 40_000, "validation": 2_000, "test": 2_000}

_SEED = "cldr_dates 1"
_LITERAL = re.compile(r"'[^']*'")
_FULL_DATE_SKELETON = re.compile(r"yM+[Ec]*d")
_YEAR = re.compile(r"(?<!y)(y|yyyy)(?!y)")
_MONTH_NAME = re.compile(r"[ML]{3}")
_MONTH_WITH_UNIT = re.compile(r"[ML]\s?[월月]")


class DateFormat(NamedTuple):
    """A CLDR date pattern of one language."""

    language: str
    pattern: str


class DateExample(NamedTuple):
    """A date as written in a language, and its ISO form."""

    source: str
    target: str
    language: str


class CldrDates(Tfds):
    """The embedded translation dataset: dates in many languages (source) -> ISO dates (target).

    It is generated on first use from Unicode CLDR, as shipped with Babel. The field `language`
    holds the language tag.

    Args:
        directory: The folder to write it to; `None` for `$XDG_CACHE_HOME/seq2seq`.

    Example:
        >>> next(CldrDates().records("train"))
        {'source': '6 ஆகஸ்ட், 2087', 'target': '2087-08-06', 'language': 'ta'}
    """

    split_keys = ()

    def __init__(self, directory: str | None = None) -> None:
        fields = ("source", "target", "language")
        super().__init__(
            name="cldr_dates",
            features={field: field for field in fields},
            splits={split: split for split in SPLIT_SIZES},
            directory=directory,
        )

    def describe(self) -> dict[str, str]:
        """Returns the name, and the version of Babel."""
        return {"name": "cldr_dates", "source": f"Unicode CLDR of Babel {babel.__version__}"}

    def _content(self, split: str) -> list[str]:
        # These determine the examples; the bytes of the files may differ.
        return [self._builder.info.full_name, self.describe()["source"], split]

    @functools.cached_property
    def _builder(self) -> Any:
        from seq2seq.data.embedded.cldr_dates_builder import prepare

        return open_builder(None, prepare(self._directory))


def date_formats() -> list[DateFormat]:
    """Returns the patterns of all languages for full dates with a four-digit year."""
    formats = []
    for language in LANGUAGES:
        locale = _locale(language)
        patterns = [
            locale.date_formats[style].pattern for style in ("full", "long", "medium", "short")
        ]
        patterns += [
            pattern.pattern
            for skeleton, pattern in locale.datetime_skeletons.items()
            if _FULL_DATE_SKELETON.fullmatch(skeleton)
        ]
        unique = sorted(set(filter(_is_full_date, patterns)))
        formats += [DateFormat(language, pattern) for pattern in unique]
    return formats


def write_date(date: datetime.date, date_format: DateFormat) -> str:
    """Returns the date in a format, after the language tag if day and month are numbers.

    `07/08/2051` is in August in French and in July in English; `<fr> 07/08/2051` is unambiguous.
    """
    pattern = date_format.pattern
    text = format_date(date, pattern, locale=_locale(date_format.language))
    names_month = _MONTH_NAME.search(pattern) or _MONTH_WITH_UNIT.search(pattern)
    return text if names_month else f"<{date_format.language}> {text}"


def ambiguous_formats() -> set[DateFormat]:
    """Returns the formats that can write two dates as the same text.

    It is enough to check the dates of a leap year and a common year: a text holds one number of
    four digits, the year, so that texts of different years differ.
    """
    dates_of_text: dict[str, set[datetime.date]] = defaultdict(set)
    formats_of_text: dict[str, set[DateFormat]] = defaultdict(set)
    formats = date_formats()
    for year in (2000, 2001):
        for date in _dates(datetime.date(year, 1, 1), datetime.date(year, 12, 31)):
            for date_format in formats:
                text = write_date(date, date_format)
                dates_of_text[text].add(date)
                formats_of_text[text].add(date_format)
    ambiguous = (text for text, dates in dates_of_text.items() if len(dates) > 1)
    return {date_format for text in ambiguous for date_format in formats_of_text[text]}


def date_examples(split: str) -> Iterator[DateExample]:
    """Yields the examples of a split, a key of `SPLIT_SIZES`; no date is in two examples."""
    for date, date_format in dates_with_formats(split):
        text = write_date(date, date_format)
        yield DateExample(text, date.isoformat(), date_format.language)


def dates_with_formats(split: str) -> Iterator[tuple[datetime.date, DateFormat]]:
    """Yields the date and the format of each example of a split; see `date_examples`."""
    formats = _unambiguous_formats()
    for date in _split_dates()[split]:
        language = LANGUAGES[_hash(f"language {date}") % len(LANGUAGES)]
        choices = formats[language]
        yield date, choices[_hash(f"format {date}") % len(choices)]


@functools.cache
def _unambiguous_formats() -> dict[str, list[DateFormat]]:
    ambiguous = ambiguous_formats()
    formats: dict[str, list[DateFormat]] = {language: [] for language in LANGUAGES}
    for date_format in date_formats():
        if date_format not in ambiguous:
            formats[date_format.language].append(date_format)
    missing = [language for language in LANGUAGES if not formats[language]]
    if missing:
        raise UserError(
            f"Babel {babel.__version__} has no unambiguous full dates in {', '.join(missing)}; "
            "install another version of Babel."
        )
    return formats


@functools.cache
def _split_dates() -> dict[str, list[datetime.date]]:
    dates = sorted(_dates(FIRST_DATE, LAST_DATE), key=lambda date: _hash(f"date {date}"))
    split_dates, start = {}, 0
    for split, size in SPLIT_SIZES.items():
        split_dates[split] = dates[start : start + size]
        start += size
    return split_dates


@functools.cache
def _locale(language: str) -> babel.Locale:
    return babel.Locale.parse(language)


def _dates(first: datetime.date, last: datetime.date) -> list[datetime.date]:
    days = range(first.toordinal(), last.toordinal() + 1)
    return [datetime.date.fromordinal(day) for day in days]


def _is_full_date(pattern: str) -> bool:
    fields = _LITERAL.sub("", pattern)
    return bool(_YEAR.search(fields) and "d" in fields and re.search("[ML]", fields))


def _hash(text: str) -> int:
    # Instead of a random generator, whose numbers may change with the version of its library.
    return hash64(f"{_SEED} {text}")
