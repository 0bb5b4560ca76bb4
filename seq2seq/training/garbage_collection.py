"""Garbage collection during a training."""

import gc
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def existing_objects_frozen() -> Iterator[None]:
    """Limits garbage collection to objects that are created inside the block.

    TensorFlow and Keras are a million objects, which the collector would traverse repeatedly.
    """
    gc.freeze()
    try:
        yield
    finally:
        gc.unfreeze()
