"""Checks of constructor arguments."""

from collections.abc import Sequence


def positive(name: str, value: int) -> None:
    """Raises a ValueError if a size is not a whole number of at least 1."""
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise ValueError(f"{name}: must be a whole number of at least 1, got {value!r}")


def fraction(name: str, value: float) -> None:
    """Raises a ValueError if a rate is outside [0, 1)."""
    if not 0 <= value < 1:
        raise ValueError(f"{name}: must be at least 0 and below 1, got {value!r}")


def zoneout_rates(zoneout: float | Sequence[float], states: int) -> tuple[float, ...]:
    """Returns the rate of each state of a layer.

    Raises:
        ValueError: If one is no rate, or there are more or fewer rates than states.
    """
    rates = [zoneout] * states if isinstance(zoneout, int | float) else list(zoneout)
    for rate in rates:
        if isinstance(rate, bool) or not isinstance(rate, int | float):
            raise ValueError(f"zoneout: must be a number, or a list of them, got {zoneout!r}")
        fraction("zoneout", rate)
    if len(rates) != states:
        raise ValueError(
            f"zoneout: {rates} are {len(rates)} rates, but the cell has {states} state(s); "
            "give one number, or [h, c] for an LSTM"
        )
    return tuple(map(float, rates))
