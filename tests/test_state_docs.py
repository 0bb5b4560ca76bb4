"""The examples of docs/state.md run as they stand."""

import re
from pathlib import Path

DOCUMENT = Path(__file__).parents[1] / "docs" / "state.md"


def test_the_examples_run_one_after_the_other():
    blocks = re.findall(r"```python\n(.*?)```", DOCUMENT.read_text("utf-8"), re.S)
    assert len(blocks) == 8
    names = {}
    for block in blocks:
        exec(compile(block, str(DOCUMENT), "exec"), names)
