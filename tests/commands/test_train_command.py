"""The arguments of `seq2seq train`, by the configs that it prints."""

import logging

import pytest
import yaml

from seq2seq.cli import main
from seq2seq.commands._overrides import with_recipe

RECIPE = "classification/cldr_languages"


def printed(capsys, *arguments, code=0):
    with pytest.raises(SystemExit) as exit_:
        main(["train", *arguments])
    assert exit_.value.code == code
    return capsys.readouterr()


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (["a/b", "seed=2"], ["recipe=a/b", "seed=2"]),
        (["mine.yaml"], ["recipe=mine.yaml"]),
        (["seed=2", "a/b"], ["seed=2", "a/b"]),
        (["~sweep", "+new=1"], ["~sweep", "+new=1"]),
        ([""], [""]),
        ([], []),
    ],
)
def test_a_first_argument_without_a_key_is_the_recipe(given, expected):
    assert with_recipe(given) == expected


def test_cfg_prints_the_config_of_a_run(capsys):
    config = yaml.safe_load(printed(capsys, RECIPE, "seed=7", "--cfg", "job").out)
    assert config["seed"] == 7
    assert config["model"]["pooling"] == ["last", "max"]


def test_cfg_prints_the_config_of_each_trial_of_a_sweep(capsys, tmp_path):
    own = tmp_path / "mine.yaml"
    own.write_text("trainer:\n  epochs: 9\n")
    grid = ("seed=1,2", "optimizer.learning_rate=1e-3,2e-3")
    text = printed(capsys, "-m", str(own), *grid, "--cfg", "job", "--resolve").out
    assert "# trial 3 (4 of 4): seed=2, optimizer.learning_rate=0.002" in text
    trials = list(yaml.safe_load_all(text))
    assert [trial["seed"] for trial in trials] == [1, 1, 2, 2]
    assert [trial["optimizer"]["learning_rate"] for trial in trials] == [1e-3, 2e-3] * 2
    assert {trial["trainer"]["epochs"] for trial in trials} == {9}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "seq2seq recipes"),
        (["--resolve", RECIPE], "add --cfg job"),
        (["cldr_dates"], "nearest is 'tagging/cldr_dates' or 'translation/cldr_dates'"),
        (["-m", RECIPE, "seed=interval(1,9)", "--cfg", "job"], "leave out --multirun"),
        (["-m", RECIPE, "sweep=optuna", "seed=1,2", "--cfg", "job"], "leave out --multirun"),
        (["-m", RECIPE, "seed=1,2", "--cfg", "hydra"], "--cfg job"),
        (["resume=somewhere", "--cfg", "job"], "leave out --cfg"),
        (["resume=somewhere", "-m"], "leave out --multirun"),
        ([RECIPE, "--trust", "a b"], "--trust a b"),
    ],
)
def test_mistakes_get_a_message(arguments, message, capsys):
    assert message in printed(capsys, *arguments, code=2).err


@pytest.mark.parametrize(
    ("flags", "level"),
    [([], logging.INFO), (["-q"], logging.WARNING), (["--verbose"], logging.DEBUG)],
)
def test_flags_set_the_level_of_messages(flags, level, capsys, monkeypatch):
    levels = []
    monkeypatch.setattr("seq2seq.progress.set_verbosity", levels.append)
    printed(capsys, RECIPE, "--cfg", "job", *flags)
    assert levels == [level]
