"""Reads what `seq2seq distill` and `seq2seq augment` write and print."""

import json
import shlex

from seq2seq.commands._overrides import with_recipe
from seq2seq.config import build, composed
from seq2seq.overrides import with_registered_recipes


def records_in(path):
    return [json.loads(line) for line in path.read_text("utf-8").splitlines()]


def printed_data(text):
    """Returns the data that the training of a printed command reads."""
    program, command, *overrides = shlex.split(text.splitlines()[-1])
    assert (program, command) == ("seq2seq", "train")
    return build(composed(list(map(with_registered_recipes, with_recipe(overrides)))), "data")


def contents(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.name != ".lock"}
