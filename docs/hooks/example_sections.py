"""An extension of griffe: it knows the section `Examples`, our docstrings call it `Example`."""

import re
from typing import Any

import griffe


class ExampleSections(griffe.Extension):
    """Renames the section of examples, before docstrings are parsed."""

    def on_object(self, *, obj: griffe.Object, **_: Any) -> None:
        """Renames it in one docstring."""
        if obj.docstring is not None:
            obj.docstring.value = re.sub(
                r"^Example:\n", "Examples:\n", obj.docstring.value, flags=re.M
            )
