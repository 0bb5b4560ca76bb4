"""The notebook as Markdown: its texts, and its code in fences."""

import json
from pathlib import Path

NOTEBOOK = Path(__file__).parents[1] / "examples" / "first_run.ipynb"


def notebook_page() -> str:
    """Returns the cells of the notebook, one after the other."""
    cells = json.loads(NOTEBOOK.read_text(encoding="utf-8"))["cells"]
    texts = ("".join(cell["source"]) for cell in cells)
    return "\n\n".join(
        f"```python\n{text}\n```" if cell["cell_type"] == "code" else text
        for cell, text in zip(cells, texts, strict=True)
    )
