"""The README is short, and its commands run, on less data."""

import re
import shlex
from pathlib import Path

import pytest

from seq2seq.cli import main

README = Path(__file__).parents[1] / "README.md"
TEXT = README.read_text("utf-8")
SMALL = """\
# Numbers to numbers with zeros in front
defaults:
  - override /task: translation
  - override /data: tsv
  - override /tokenizer: character
  - override /model: translator
  - override /model/bridge: concatenate
  - override /decoding: greedy

data:
  directory: data
  files:
    train: pairs.tsv
model:
  encoder:
    units: 8
  decoder:
    units: 16
trainer:
  epochs: 1
"""
REPLACED = {
    "translation/cldr_dates": "small.yaml",
    "/my/data": "data",
    "model.encoder.units=256": "model.encoder.units=12 model.decoder.units=24",
    "model.encoder.units=64,128": "model.encoder.units=8",
    "seed=1,2,3": "seed=1,2",
    "trainer.epochs=5": "trainer.epochs=2",
}
"""Parts of commands, and what takes their place here."""
SMALLER = {
    "translation/own_data": ["model.encoder.units=8", "model.decoder.units=16", "trainer.epochs=1"],
    "classification/own_data": ["model.encoder.units=8", "trainer.epochs=1"],
}
"""Overrides added to trainings of a recipe."""


def commands():
    """Returns the arguments of the README's `seq2seq` commands."""
    blocks = re.findall(r"^```console\n(.*?)^```$", TEXT, re.S | re.M)
    lines = "\n".join(blocks).replace("\\\n", " ").splitlines()
    return [line.removeprefix("seq2seq ") for line in lines if line.startswith("seq2seq ")]


def run(command):
    for part, replacement in REPLACED.items():
        command = command.replace(part, replacement)
    arguments = shlex.split(command, comments=True)
    for recipe in set(SMALLER).intersection(arguments):
        arguments += SMALLER[recipe]
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    assert not ended.value.code, command


def write_data(folder):
    """Writes parallel text, pairs and labelled texts."""
    folder.mkdir()
    for split, numbers in {"train": range(60), "dev": range(60, 70), "test": range(70, 80)}.items():
        for language, pattern in {"en": "{}", "fi": "{:03}"}.items():
            lines = [f"{pattern.format(number)}\n" for number in numbers]
            (folder / f"{split}.{language}").write_text("".join(lines))
    pairs = [f"{number}\t{number:03}\n" for number in range(80)]
    (folder / "pairs.tsv").write_text("".join(pairs))
    reviews = [
        f"film {number} is {('bad', 'good')[number % 2]},{number % 2}\n" for number in range(80)
    ]
    (folder / "reviews.csv").write_text("review,stars\n" + "".join(reviews))


@pytest.fixture
def _folder(tmp_path, monkeypatch):
    """A working folder with a small recipe and data."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path}/mlflow.db")
    Path("small.yaml").write_text(SMALL, encoding="utf-8")
    Path("sentences.txt").write_text("7\n12\n", encoding="utf-8")
    write_data(Path("data"))


@pytest.mark.usefixtures("_folder")
def test_the_python_runs(capsys):
    (code,) = re.findall(r"^```python\n(.*?)^```$", TEXT, re.S | re.M)
    assert "translation/cldr_dates" in code
    exec(code.replace("translation/cldr_dates", "small.yaml"), {})
    assert "exact_match" in capsys.readouterr().out


@pytest.mark.usefixtures("_folder")
def test_the_commands_run():
    for name in ("RUN", "OTHER_RUN"):
        run(f"train small.yaml hydra.run.dir={name}")
    assert len(commands()) > 10
    for command in commands():
        run(command)
    assert Path("translations.txt").read_text("utf-8").count("\n") == 2
    assert list(Path("comparison").glob("*.html"))


def test_it_is_short():
    lines = TEXT.splitlines()
    assert len(lines) <= 120
    for line in lines:
        assert line.startswith("|") or len(line) <= 120, line
        assert line.count("|") <= 6 or not line.startswith("|"), line
