"""Vectors of texts, as an encoder has learned them."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from seq2seq.tasks.graphs import prediction_graph
from seq2seq.tasks.padding import by_length, padded

Batch = dict[str, np.ndarray]


def text_batches(
    ids: Mapping[str, Sequence[np.ndarray]], batch_size: int
) -> Iterator[tuple[list[int], Batch]]:
    """Yields texts together, those whose first text is short first.

    Args:
        ids: The token ids of all inputs, by the name of the text.
        batch_size: The most inputs of a batch.

    Yields:
        Which inputs are in a batch; and their ids by name, with the lengths as `NAME_length`.
    """
    first = next(iter(ids.values()))
    for chosen in by_length(range(len(first)), first, batch_size, least=0):
        batch = {}
        for name, texts in ids.items():
            batch[name], batch[f"{name}_length"] = padded([texts[i] for i in chosen])
        yield chosen, batch


def collected_features(
    feature_model: Any, batches: Iterable[tuple[list[int], Batch]], count: int
) -> dict[str, np.ndarray]:
    """Encodes batches, and returns the vectors in the order of the inputs.

    Args:
        feature_model: Returns vectors by name, such as `source.layer_0.forward.h`.
        batches: Which inputs are in each batch, and what the model reads of them.
        count: The number of inputs; what is in no batch has zeros.

    Returns:
        Float32 `(count, width)` each.
    """
    vectors = {
        name: np.zeros((count, tensor.shape[-1]), np.float32)
        for name, tensor in feature_model.output.items()
    }
    encode = prediction_graph(feature_model)
    for chosen, batch in batches:
        for name, values in encode(batch).items():
            vectors[name][chosen] = values
    return vectors
