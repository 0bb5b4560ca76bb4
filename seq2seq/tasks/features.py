"""Vectors of texts, as an encoder has learned them."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from seq2seq.tasks.padding import by_length, padded


def encoded_features(
    feature_model: Any, ids: Mapping[str, Sequence[np.ndarray]], batch_size: int
) -> dict[str, np.ndarray]:
    """Encodes texts, the short ones first, and returns their vectors in order.

    Args:
        feature_model: Takes the ids of each text and, as `NAME_length`, their lengths; returns
            vectors by name, such as `source.layer_0.forward.h`.
        ids: The token ids of all inputs, by the name of the text.
        batch_size: How many inputs are encoded at once.

    Returns:
        Float32 `(inputs, width)` each.
    """
    first = next(iter(ids.values()))
    vectors = {
        name: np.zeros((len(first), tensor.shape[-1]), np.float32)
        for name, tensor in feature_model.output.items()
    }
    for chosen in by_length(range(len(first)), first, batch_size, least=0):
        batch = {}
        for name, texts in ids.items():
            batch[name], batch[f"{name}_length"] = padded([texts[i] for i in chosen])
        for name, values in feature_model(batch).items():
            vectors[name][chosen] = values
    return vectors
