"""Less work for Python's garbage collector."""

import gc
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def only_new_garbage() -> Iterator[None]:
    """Lets the collector look at objects that are made within, and at no older ones.

    TensorFlow and Keras are a million objects, which it would go through again and again.
    """
    gc.freeze()
    try:
        yield
    finally:
        gc.unfreeze()
