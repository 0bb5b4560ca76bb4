"""The scales of all windows of a split, computed once and cached on disk."""

import hashlib
import json
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from seq2seq.cache import cache_directory, ensure_directory
from seq2seq.data.series_scaling import Scale

_ARRAYS = ("past_offset", "future_offset", "factor", "steps", "window")
_FORMAT_VERSION = 1


def cached_scales(
    parts: Sequence[Any], chunks: Callable[[], Iterator[Scale]], context_length: int
) -> Scale:
    """Returns the scale of all windows, from the cache or computed chunk by chunk.

    Args:
        parts: Plain values that determine the scales.
        chunks: Computes the scales of all windows in order.
        context_length: The steps that histories are padded to.
    """
    key = hashlib.sha256(json.dumps([_FORMAT_VERSION, *parts]).encode()).hexdigest()[:32]

    def write(folder: Path) -> None:
        computed = list(chunks())
        for name in _ARRAYS:
            arrays = [getattr(scale, name) for scale in computed]
            if arrays[0] is None:
                continue
            if name in ("past_offset", "steps"):
                arrays = [_padded(array, context_length) for array in arrays]
            np.save(folder / f"{name}.npy", np.concatenate(arrays))
        settings = {name: getattr(computed[0], name) for name in ("is_log", "limit", "unsigned")}
        (folder / "scale.json").write_text(json.dumps(settings), encoding="utf-8")

    folder = ensure_directory(cache_directory() / "scales" / key, write)
    arrays = {name: np.load(path) for name in _ARRAYS if (path := folder / f"{name}.npy").is_file()}
    return Scale(**arrays, **json.loads((folder / "scale.json").read_text(encoding="utf-8")))


def _padded(array: np.ndarray, steps: int) -> np.ndarray:
    """Pads the second axis with zeros."""
    return np.pad(array, [(0, 0), (0, steps - array.shape[1])] + [(0, 0)] * (array.ndim - 2))
