"""Names of places, languages and currencies in many languages, from Unicode CLDR."""

import functools
import unicodedata
from collections import defaultdict
from collections.abc import Iterator
from typing import NamedTuple

import babel

from seq2seq.data.dataset import Dataset
from seq2seq.data.holdout import split_by_hash
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
    entity: str
    """The named place, language or currency, such as `currencies/EUR`."""


class CldrLanguages(Dataset):
    """The embedded classification dataset: names (text) -> the language of the name (label).

    All names of a place, language or currency are in one split. Names that two languages share are
    excluded, and no text occurs twice. The source is Unicode CLDR, as shipped with Babel.

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
            if split_of(name.entity) == split:
                place = f"{name.entity} in {name.language}"
                yield PlacedRecord({"text": name.text, "label": name.language}, place)

    def _content(self, split: str) -> list[str]:
        return [_SEED, self.describe()["source"], split]


@functools.cache
def names() -> tuple[Name, ...]:
    """Returns all names that only one language uses, each text once."""
    names_by_key: dict[str, list[Name]] = defaultdict(list)
    for language in LANGUAGES:
        locale = babel.Locale.parse(language)
        for kind in KINDS:
            for code, text in sorted(getattr(locale, kind).items()):
                if text != code:
                    # The key ignores differences in case and Unicode form.
                    key = unicodedata.normalize("NFKC", text).casefold()
                    names_by_key[key].append(Name(text, language, f"{kind}/{code}"))
    groups = names_by_key.values()
    return tuple(group[0] for group in groups if len({name.language for name in group}) == 1)


def split_of(entity: str) -> str:
    """Returns the split of all names of an entity."""
    return split_by_hash(f"{_SEED} {entity}", SHARES)
