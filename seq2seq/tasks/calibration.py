"""The temperature of a classifier's probabilities, as a file."""

import json
import math
from pathlib import Path

from seq2seq.data.formats.json_lines import parsed_json
from seq2seq.errors import UserError


def save_temperature(temperature: float, path: Path) -> None:
    """Writes a temperature as JSON."""
    path.write_text(json.dumps({"temperature": temperature}), encoding="utf-8")


def load_temperature(path: Path) -> float:
    """Reads what `save_temperature` wrote.

    Raises:
        UserError: If the file is missing or damaged, or the temperature not positive and finite.
    """
    try:
        temperature = float(parsed_json(path.read_text(encoding="utf-8"))["temperature"])
        if not 0 < temperature < math.inf:
            raise ValueError(f"a temperature of {temperature}")
    except (OSError, ValueError, KeyError, TypeError, OverflowError) as error:
        raise UserError(f"{path}: cannot be read ({error}).") from error
    return temperature
