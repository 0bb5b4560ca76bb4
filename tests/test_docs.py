"""The documentation: its code runs, its commands exist, and the site builds without a warning.

- Blocks of `python` and `bash` run, those of a page one after the other in one folder.
- Blocks of `console` are for reading: their `seq2seq` commands are parsed, not run.
- `<!-- not run: REASON -->` in the line above a block exempts it.
- The README's blocks run in `test_readme.py`, on less data.
"""

import contextlib
import io
import json
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import pytest

from seq2seq.cli import COMMANDS, main, parser
from seq2seq.commands._overrides import with_recipe
from seq2seq.config import composed, recipe_files, register_recipe
from seq2seq.evaluation.classification import LABEL_SET_SCORES
from seq2seq.evaluation.tagging import ENTITY_SCORES
from seq2seq.evaluation.text import METRICS
from seq2seq.overrides import parse_overrides, split_resume, with_registered_recipes
from seq2seq.scores import main_score
from seq2seq.tasks.model_folder import build_task
from tests.forked_commands import forked_seq2seq

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted(DOCS.rglob("*.md"))]
NOTEBOOKS = sorted(DOCS.rglob("*.ipynb"))
MOST_EXEMPT = 8
LAUNCHERS = ("hydra/launcher", "hydra.launcher")
"""The beginnings of overrides that need a launcher to be installed."""


class Block(NamedTuple):
    """A fenced block of a page."""

    page: Path
    line: int
    language: str
    code: str
    exempt: bool

    @property
    def place(self) -> str:
        return f"{self.page.relative_to(ROOT)}:{self.line}"


def blocks_of(page):
    """Returns the fenced blocks of a page."""
    text, blocks = page.read_text("utf-8"), []
    for match in re.finditer(r"^```(\w*)[^\n]*\n(.*?)^```$", text, re.S | re.M):
        above = text[: match.start()].rstrip().rpartition("\n")[2]
        line = text.count("\n", 0, match.start()) + 2
        exempt = bool(re.fullmatch(r"<!-- not run: .+ -->", above))
        blocks.append(Block(page, line, match[1], match[2], exempt))
    return blocks


BLOCKS = [block for page in PAGES for block in blocks_of(page)]
RUN = [
    block
    for block in BLOCKS
    if block.language in ("python", "bash") and not block.exempt and block.page != PAGES[0]
]


def commands_of(block):
    """Yields the arguments of each `seq2seq` command of a block."""
    if block.language not in ("console", "bash"):
        return
    for line in re.sub(r"\\\n", " ", block.code).splitlines():
        if "seq2seq " not in line:
            continue
        words = shlex.split(line.removeprefix("$ "), comments=True)
        while words and words[0] != "seq2seq":  # behind a pipe, or python -m something
            words = words[words.index("|") + 1 :] if "|" in words else []
        ends = [words.index(sign) for sign in ("|", "<", ">", "&&") if sign in words]
        if words:
            yield words[1 : min(ends, default=len(words))]


def test_few_blocks_are_exempt():
    assert len([block for block in BLOCKS if block.exempt]) <= MOST_EXEMPT


@pytest.mark.parametrize(
    "page", sorted({block.page for block in RUN}), ids=lambda page: str(page.relative_to(ROOT))
)
def test_the_code_of_a_page_runs(page, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MPLBACKEND", "agg")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path}/mlflow.db")
    folders = [str(Path(sys.executable).parent), os.environ["PATH"]]
    monkeypatch.setenv("PATH", os.pathsep.join([str(forked_seq2seq().parent), *folders]))
    names = {"__name__": "__main__"}
    for block in (block for block in RUN if block.page == page):
        if block.language == "python":
            # Line numbers in stack traces are those of the page.
            code = compile("\n" * (block.line - 1) + block.code, block.place, "exec")
            with contextlib.redirect_stdout(io.StringIO()):
                exec(code, names)
        else:
            script = subprocess.run(
                ["bash", "-euo", "pipefail", "-c", block.code],
                check=False,
                text=True,
                capture_output=True,
            )
            assert script.returncode == 0, f"{block.place}\n{script.stdout}\n{script.stderr}"


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.name)
def test_a_notebook_runs(path, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MPLBACKEND", "agg")
    cells = json.loads(path.read_text("utf-8"))["cells"]
    names = {"__name__": "__main__"}
    for cell in cells:
        if cell["cell_type"] == "code":
            assert not cell["outputs"]
            exec(compile("".join(cell["source"]), str(path), "exec"), names)


@pytest.mark.parametrize(
    "block", [block for block in BLOCKS if any(commands_of(block))], ids=lambda block: block.place
)
def test_commands_and_options_exist(block):
    for arguments in commands_of(block):
        with contextlib.redirect_stderr(io.StringIO()) as errors:
            try:
                options = parser().parse_args(arguments)
            except SystemExit:
                pytest.fail(f"{' '.join(arguments)}\n{errors.getvalue()}")
        if "overrides" in options:
            check_overrides(options.overrides)


def check_overrides(overrides):
    """Composes the config of a command `train` or `check`, without looking at any data."""
    resume, overrides = split_resume(with_recipe(overrides))
    own = resume.folder is not None or any(item.endswith(".yaml") for item in overrides)
    from_a_run = not any(item.startswith("recipe=") for item in overrides)
    unfinished = any("..." in item for item in overrides)
    if not (own or from_a_run or unfinished):
        overrides = [item for item in overrides if not item.startswith(LAUNCHERS)]
        parse_overrides(list(map(with_registered_recipes, overrides)))


def test_commands_in_sentences_exist():
    for page in PAGES:
        text = re.sub(r"^```.*?^```$", "", page.read_text("utf-8"), flags=re.S | re.M)
        for name in re.findall(r"`seq2seq (\w+)", text):
            assert name in (*COMMANDS, "help"), f"{page.relative_to(ROOT)}: seq2seq {name}"


@pytest.mark.parametrize("name", ["README.md", "CONTRIBUTING.md"])
def test_files_that_are_linked_to_exist(name):
    """Links within `docs/` are checked when the site is built."""
    for target in re.findall(r"\]\(([^)#]+)", (ROOT / name).read_text("utf-8")):
        assert target.startswith("http") or (ROOT / target).exists(), target


def test_all_commands_have_a_reference():
    pytest.importorskip("mkdocs", reason="pip install 'keras-seq2seq[docs]'")
    sys.path.insert(0, str(DOCS / "hooks"))
    try:
        from command_reference import command_reference
        from config_reference import config_reference
    finally:
        sys.path.remove(str(DOCS / "hooks"))
    assert re.findall(r"^## (\w+)$", command_reference(), re.M) == list(COMMANDS)
    keys = re.findall(r"^\| `([\w.]+)` \| (.*?) \| (.*) \|$", config_reference(), re.M)
    assert len(keys) > 150
    assert not [key for key, _, meaning in keys if not meaning.strip()]


def test_the_help_of_a_command_is_that_of_the_command_line():
    with contextlib.redirect_stdout(io.StringIO()) as output, pytest.raises(SystemExit):
        main(["--help"])
    assert all(name in output.getvalue() for name in COMMANDS)


def test_every_score_is_explained():
    page = (DOCS / "reference" / "scores.md").read_text("utf-8")
    explained = set(re.findall(r"`([^`]+)`", page))
    names = {*METRICS, *ENTITY_SCORES, *LABEL_SET_SCORES, "loss", "perplexity"}
    for recipe in recipe_files():
        if recipe.endswith("/own_data"):
            task = build_task(composed([f"recipe={register_recipe(recipe)}"]))
            assert f"`{main_score(task.score_names)}`" in page.partition("## All tasks")[0]
            names.update(task.score_names)
    assert not names - explained


def test_the_site_builds_without_a_warning(tmp_path):
    pytest.importorskip("mkdocs", reason="pip install 'keras-seq2seq[docs]'")
    site = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--quiet", "--site-dir", str(tmp_path)],
        check=False,
        cwd=ROOT,
        env={**os.environ, "NO_MKDOCS_2_WARNING": "1"},
        text=True,
        capture_output=True,
    )
    assert site.returncode == 0, site.stderr
    assert not site.stderr.strip()
