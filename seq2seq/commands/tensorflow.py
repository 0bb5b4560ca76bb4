"""The first import of TensorFlow."""

import os
import sys


def start_tensorflow() -> None:
    """Imports TensorFlow, silently: its C++ code writes lines before it can be told not to."""
    kept = os.dup(2)
    nowhere = os.open(os.devnull, os.O_WRONLY)
    sys.stderr.flush()
    os.dup2(nowhere, 2)
    try:
        import tensorflow  # noqa: F401
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(nowhere)
