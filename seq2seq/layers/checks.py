"""Checks of constructor arguments."""


def positive(name: str, value: int) -> None:
    """Raises a ValueError if a size is not a whole number of at least 1."""
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise ValueError(f"{name}: must be a whole number of at least 1, got {value!r}")


def fraction(name: str, value: float) -> None:
    """Raises a ValueError if a rate is outside [0, 1)."""
    if not 0 <= value < 1:
        raise ValueError(f"{name}: must be at least 0 and below 1, got {value!r}")
