"""`seq2seq rate`: one short training that writes a picture, and nothing else."""

import pytest

from seq2seq.cli import main

SMALL = ["classification/cldr_languages", "model.encoder.units=8", "model.embedding_dim=8"]


def test_a_rate_is_found_and_only_the_picture_is_written(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    folder = tmp_path / "here"
    folder.mkdir()
    monkeypatch.chdir(folder)
    with pytest.raises(SystemExit) as exit_:
        main(["rate", *SMALL, "--steps", "60", "--to", "1000"])
    assert not exit_.value.code
    printed = capsys.readouterr().out
    assert "the loss diverges above a rate of" in printed
    rate = float(printed.partition("optimizer.learning_rate=")[2].split()[0])
    assert 1e-4 < rate < 10
    assert [path.name for path in folder.iterdir()] == ["learning_rates.png"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--steps", "3"], "--steps 3: has to be 10 or more"),
        (["--from", "1", "--to", "0.1"], "--from 1 --to 0.1: have to be above 0, and rising"),
        (["--figure", "nowhere/rates.png"], "--figure nowhere/rates.png: there is no such folder"),
        (
            ["optimizer.learning_rate={_target_: keras.optimizers.schedules.CosineDecay, "
             "initial_learning_rate: 0.1, decay_steps: 9}"],
            "optimizer.learning_rate: is a schedule",
        ),
    ],
)  # fmt: skip
def test_impossible_arguments_are_refused(arguments, message, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as exit_:
        main(["rate", *SMALL, *arguments])
    assert exit_.value.code == 2
    assert message in capsys.readouterr().err
