"""Every text file is opened with an encoding: what ruff's PLW1514 looks for, in any expression."""

import ast
from pathlib import Path

import pytest

TOP = Path(__file__).parents[1]
POSITIONS = {"read_text": 0, "write_text": 1}
"""Where the encoding stands among the positional arguments."""


def without_encoding(source):
    """Returns the lines of the calls that open a text file and leave the encoding to the locale."""
    return [
        node.lineno
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.Call) and is_text_file(node) and not has_encoding(node)
    ]


def is_text_file(call):
    name = call.func.attr if isinstance(call.func, ast.Attribute) else getattr(call.func, "id", "")
    if name in POSITIONS:
        return isinstance(call.func, ast.Attribute)  # seq2seq.files.write_text writes UTF-8
    if name == "open":
        place = 0 if isinstance(call.func, ast.Attribute) else 1
        if isinstance(call.func, ast.Attribute) and getattr(call.func.value, "id", "") in MODULES:
            place = 1
        given = call.args[place : place + 1] + [k.value for k in call.keywords if k.arg == "mode"]
        mode = given[0].value if given and isinstance(given[0], ast.Constant) else "r"
        return isinstance(mode, str) and "b" not in mode and (name, module(call)) != ("open", "os")
    texts = [k for k in call.keywords if k.arg in ("text", "universal_newlines")]
    return name in ("run", "Popen", "check_output") and any(k.value.value is True for k in texts)


MODULES = ("gzip", "bz2", "lzma", "io", "codecs", "tarfile", "zipfile", "os")


def module(call):
    return getattr(getattr(call.func, "value", None), "id", "")


def has_encoding(call):
    name = call.func.attr if isinstance(call.func, ast.Attribute) else "open"
    return any(k.arg == "encoding" for k in call.keywords) or (
        name in POSITIONS and len(call.args) > POSITIONS[name]
    )


@pytest.mark.parametrize("folder", ["seq2seq", "benchmarks", "docs"])
def test_files_are_opened_with_an_encoding(folder):
    found = [
        f"{path.relative_to(TOP)}:{line}"
        for path in sorted((TOP / folder).rglob("*.py"))
        for line in without_encoding(path.read_text(encoding="utf-8"))
    ]
    assert not found


def test_the_check_finds_what_it_should():
    bad = "open('x')\np.open()\np.open('w')\n(a / b).read_text()\np.write_text('x')\n"
    bad += "subprocess.run(x, text=True)\ngzip.open(p, 'rt')\n"
    assert without_encoding(bad) == [1, 2, 3, 4, 5, 6, 7]
    good = "open('x', 'rb')\np.open('wb')\np.read_text('utf-8')\np.write_text('x', 'utf-8')\n"
    good += "open('x', encoding='utf-8')\np.read_text(encoding='utf-8')\nos.open(p, f)\n"
    assert without_encoding(good) == []
