"""Splits held out from the training records."""

import hashlib
from collections.abc import Iterable, Mapping

from seq2seq.errors import UserError


class Holdout:
    """Holds out fractions of the training records for other splits.

    A record's split is a hash of the seed and of one field's text: records with the same text are
    never in two splits, and no record has to be kept in memory.

    Args:
        fractions: The share of the records by split, such as `{"validation": 0.05}`; the rest stays
            in the split `train`. `None` holds nothing out.
        seed: Another seed holds out other records.
        field: The field whose text is hashed.
        unless_given: Whether splits that the data have anyway are not held out.

    Raises:
        UserError: If a fraction is not between 0 and 1, if nothing is left for `train`, or if
            `train` itself is named.

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
                raise UserError(
                    f"data.holdout.fractions.{name}={fraction:g} is not between 0 and 1."
                )
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
        """Returns the split that a training record belongs to.

        Raises:
            UserError: If the record does not have the field.
        """
        if self._field not in record:
            raise UserError(
                f"data.holdout.field={self._field} is not a field of the records, "
                f"which have {', '.join(record)}."
            )
        content = f"{self._seed}\0{record[self._field]}".encode()
        position = int.from_bytes(hashlib.blake2b(content, digest_size=8).digest()) / 2**64
        for name, fraction in self._fractions.items():
            if position < fraction:
                return name
            position -= fraction
        return "train"

    def describe(self) -> str:
        """Returns everything that determines the splits, as one line."""
        return f"holdout {self._fractions} seed {self._seed} field {self._field}"
