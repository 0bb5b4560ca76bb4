"""The first import of TensorFlow and Keras."""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager

_LEFT_OUT = ("matplotlib", "pandas", "sklearn")


def start_tensorflow() -> None:
    """Imports TensorFlow and Keras, silently and fast.

    TensorFlow's C++ code writes lines before it can be told not to. Keras imports libraries that it
    can do without; here they wait until somebody needs them.
    """
    with _no_errors_shown(), _not_imported(_LEFT_OUT):
        import keras  # noqa: F401


@contextmanager
def _no_errors_shown() -> Iterator[None]:
    kept = os.dup(2)
    nowhere = os.open(os.devnull, os.O_WRONLY)
    sys.stderr.flush()
    os.dup2(nowhere, 2)
    try:
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(nowhere)


@contextmanager
def _not_imported(names: tuple[str, ...]) -> Iterator[None]:
    """Makes imports of libraries that are not there yet fail, as if they were not installed."""
    left_out = [name for name in names if name not in sys.modules]
    sys.modules.update(dict.fromkeys(left_out))  # type: ignore[arg-type]
    try:
        yield
    finally:
        for name in left_out:
            del sys.modules[name]
