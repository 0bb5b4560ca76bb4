"""Names of places, languages and currencies in many languages, from Unicode CLDR."""

import functools
import hashlib
import unicodedata
from collections import defaultdict
from collections.abc import Iterator
from typing import NamedTuple

import babel

from seq2seq.data.dataset import Dataset
from seq2seq.data.records import PlacedRecord

# fmt: off
LANGUAGES = (
    "ar", "bg", "bn", "cs", "da", "de", "el", "en", "es", "et", "fa", "fi", "fr", "he",
    "hi", "hr", "hu", "hy", "id", "it", "ja", "ka", "ko", "lt", "lv", "nl", "pl", "pt",
    "ro", "ru", "sk", "sl", "sr", "sv", "ta", "th", "tr", "uk", "vi", "zh",
)
# fmt: on
KINDS = ("territories", "languages", "currencies")
SHARES = {"test": 0.05, "validation": 0.05, "train": 0.9}

_SEED = "cldr_languages 1"


class Name(NamedTuple):
    """The name of a place, a language or a currency in one language."""

    text: str
    language: str
    thing: str
    """The named thing, such as `currencies/EUR`."""


class CldrLanguages(Dataset):
    """The embedded dataset: names (text) -> the language they are written in (label).

    No named place, language or currency is in two splits, nor is any text. Names that two languages
    share are left out. All names are from Unicode CLDR as shipped with Babel.

    Example:
        >>> next(CldrLanguages().records("test"))
        {'text': 'அங்கோலா', 'label': 'ta'}
    """

    def __init__(self) -> None:
        super().__init__(SHARES)

    def describe(self) -> dict[str, str]:
        """Returns the name, and the version of Babel."""
        return {"name": "cldr_languages", "source": f"Unicode CLDR of Babel {babel.__version__}"}

    def _read(self, split: str) -> Iterator[PlacedRecord]:
        for name in names():
            if split_of(name.thing) == split:
                place = f"{name.thing} in {name.language}"
                yield PlacedRecord({"text": name.text, "label": name.language}, place)

    def _content(self, split: str) -> list[str]:
        return [_SEED, self.describe()["source"], split]


@functools.cache
def names() -> tuple[Name, ...]:
    """Returns all names that only one language uses, each text once."""
    by_key: dict[str, list[Name]] = defaultdict(list)
    for language in LANGUAGES:
        locale = babel.Locale.parse(language)
        for kind in KINDS:
            for code, text in sorted(getattr(locale, kind).items()):
                if text != code:
                    by_key[_key(text)].append(Name(text, language, f"{kind}/{code}"))
    return tuple(same[0] for same in by_key.values() if len({name.language for name in same}) == 1)


def split_of(thing: str) -> str:
    """Returns the split that all names of a thing belong to."""
    # A hash: the numbers of a random generator may change with the version of its library.
    digest = hashlib.blake2b(f"{_SEED} {thing}".encode(), digest_size=8).digest()
    position = int.from_bytes(digest) / 2**64
    for split, share in SHARES.items():
        if position < share:
            return split
        position -= share
    return "train"


def _key(text: str) -> str:
    """Returns the same key for texts that differ only in case or Unicode form."""
    return unicodedata.normalize("NFKC", text).casefold()
