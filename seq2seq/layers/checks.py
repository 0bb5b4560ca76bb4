"""Checks of constructor arguments."""


def positive(name: str, value: int) -> None:
    """Checks a size that must be a whole number of at least 1.

    Raises:
        ValueError: If it is not.
    """
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise ValueError(f"{name}: must be a whole number of at least 1, got {value!r}")


def fraction(name: str, value: float) -> None:
    """Checks a rate in [0, 1).

    Raises:
        ValueError: If it is outside.
    """
    if not 0 <= value < 1:
        raise ValueError(f"{name}: must be at least 0 and below 1, got {value!r}")
