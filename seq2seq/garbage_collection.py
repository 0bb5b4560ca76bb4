"""Python's garbage collector beside a million objects of TensorFlow and Keras, which stay.

A collection that looks through all of them takes half a second.
"""

import gc
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def existing_objects_frozen() -> Iterator[None]:
    """Limits garbage collection to objects that are created inside the block."""
    gc.freeze()
    try:
        yield
    finally:
        gc.unfreeze()
