"""Texts that stand in two splits: what a model has seen in training it may know by heart."""

import itertools
import logging
from collections.abc import Mapping

import numpy as np

from seq2seq.data.token_store import TokenStore

log = logging.getLogger(__name__)


def shared(stores: Mapping[str, TokenStore]) -> dict[tuple[str, str], int]:
    """Returns how many rows of each split have an input that also stands in an earlier split.

    Args:
        stores: The splits by name, `train` first.

    Returns:
        The number of rows by the names of both splits, the later one first.
    """
    return {
        (later, earlier): int(
            np.isin(stores[later].input_hashes, stores[earlier].input_hashes).sum()
        )
        for earlier, later in itertools.combinations(stores, 2)
    }


def report_shared(stores: Mapping[str, TokenStore]) -> None:
    """Logs how many inputs stand in two splits, as one line; nothing where there are none."""
    parts = [
        f"{count:,} of {len(stores[later]):,} of {later} stand in {earlier}"
        for (later, earlier), count in shared(stores).items()
        if count
    ]
    if parts:
        log.warning("inputs in two splits: %s", "; ".join(parts))
