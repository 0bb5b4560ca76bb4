"""Splits held out from the training records."""

from collections.abc import Iterable, Mapping

from seq2seq.data.records import field_value, hash64
from seq2seq.errors import UserError


class Holdout:
    """Holds out fractions of the training records for other splits.

    A record's split depends on a hash of the seed and of one field's text: records with the same
    text are never in two splits, and no record has to be kept in memory.

    Args:
        fractions: The share of the records by split, such as `{"validation": 0.05}`; the rest stays
            in the split `train`. `None` holds nothing out for that split.
        seed: Another seed holds out other records.
        field: The field whose text is hashed.
        unless_given: Whether splits that the data already have are not held out.

    Raises:
        UserError: If a fraction is not between 0 and 1, nothing remains for `train`, or `train`
            itself is named.

    Example:
        >>> holdout = Holdout({"validation": 0.05, "test": 0.05})
        >>> holdout.split_of({"source": "Run!", "target": "Cours !"})
        'train'
    """

    def __init__(
        self,
        fractions: Mapping[str, float | None],
        seed: int = 0,
        field: str = "source",
        unless_given: bool = False,
    ) -> None:
        self._fractions = {
            name: fraction for name, fraction in fractions.items() if fraction is not None
        }
        self._seed, self._field, self._unless_given = seed, field, unless_given
        if "train" in self._fractions:
            raise UserError(
                "data.holdout.fractions: 'train' is what remains; name the other splits only."
            )
        for name, fraction in self._fractions.items():
            if not 0 < fraction < 1:
                key = f"data.holdout.fractions.{name}"
                raise UserError(f"{key}={fraction:g} is not between 0 and 1.")
        if sum(self._fractions.values()) >= 1:
            raise UserError(
                f"data.holdout.fractions: {self._fractions} leave nothing to train on; "
                "their sum must be below 1."
            )

    def without(self, splits: Iterable[str]) -> "Holdout":
        """Returns the holdout without the splits that the data have, if `unless_given`."""
        if not self._unless_given:
            return self
        remaining = {name: f for name, f in self._fractions.items() if name not in set(splits)}
        return Holdout(remaining, self._seed, self._field)

    @property
    def split_names(self) -> tuple[str, ...]:
        """The splits that are held out."""
        return tuple(self._fractions)

    def split_of(self, record: Mapping[str, str]) -> str:
        """Returns the split of a training record; raises UserError if it lacks the field."""
        value = field_value(record, self._field, f"data.holdout.field={self._field}")
        return split_by_hash(f"{self._seed}\0{value}", self._fractions)

    def describe(self) -> str:
        """Returns everything that determines the splits, as one line."""
        return f"holdout {self._fractions} seed {self._seed} field {self._field}"


def split_by_hash(text: str, fractions: Mapping[str, float]) -> str:
    """Returns the split that the hash of a text falls into; `train` beyond all fractions."""
    position = hash64(text) / 2**64
    for split, fraction in fractions.items():
        if position < fraction:
            return split
        position -= fraction
    return "train"
