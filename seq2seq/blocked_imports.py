"""Imports that other libraries make where they can, and that are not wanted."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def imports_blocked(*names: str) -> Iterator[None]:
    """Makes imports of libraries fail, as if they were not installed, unless already imported."""
    blocked = [name for name in names if name not in sys.modules]
    sys.modules.update(dict.fromkeys(blocked))  # type: ignore[arg-type]
    try:
        yield
    finally:
        for name in blocked:
            del sys.modules[name]
