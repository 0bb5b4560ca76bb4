"""Mistyped overrides of every kind: one line that names the key, exit code 2, no stack trace."""

import pytest

from seq2seq.cli import main

CALLBACK = "+trainer.callbacks.x={_target_: %s}"
OTHER = ["optimizer=keras", "~optimizer.learning_rate", "~optimizer.global_clipnorm"]
TARGET = "optimizer._target_=keras"


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        ([""], "'': must be key=value"),
        (["=1"], "'=1': must be key=value"),
        (["-m", ""], "'': must be key=value"),
        (["resume="], "resume=: names no folder"),
        (["hydra.run.dir="], "hydra.run.dir=: names no folder"),
        (["recipe="], "recipe=: no such recipe"),
        (["data="], "data=: no such choice"),
        (["units=5"], "or 'model.encoder.units'"),
        (["batch_size=5"], "the nearest is 'batching.batch_size'"),
        (["pooling=max"], "the nearest is 'model.pooling'"),
        (["attention=luong"], "the nearest is 'model/attention'"),
        (["+dropout=0.1"], "the nearest is 'model.encoder.dropout'"),
        (["lr=0.1"], "lr: no such config key; --cfg job prints all"),
        (["recipe=nowhere.yaml"], "recipe=nowhere.yaml: no such file"),
        (["recipe=cldr_dates"], "nearest is 'tagging/cldr_dates' or 'translation/cldr_dates'"),
        (["optimizer.learning_rate=-1"], "optimizer.learning_rate: must be above 0, got -1"),
        (["optimizer.learning_rate=fast"], "optimizer.learning_rate: must be above 0, got fast"),
        (["seed="], "seed: must be a whole number"),
        (["model.encoder.cell="], "unknown cell ''"),
        (["optimizer.learning_rate=nan"], "optimizer.learning_rate: must be a finite number"),
        (["model.encoder.dropout=inf"], "model.encoder.dropout: must be a finite number"),
        ([CALLBACK % "keras.callbacks.EarlyStoping"], "the nearest is 'EarlyStopping'"),
        ([CALLBACK % "keras.callbacks.EarlyStopping, patienc: 1"], "the nearest is 'patience'"),
        ([CALLBACK % "keras.layers.Dense, units: 3"], "callbacks.x: must be a Keras callback"),
        ([*OTHER, f"{TARGET}.optimizers.Adm"], "is 'Adam'"),
        (
            [*OTHER, f"{TARGET}.layers.Dense", "+optimizer.units=3"],
            "optimizer._target_: must name a class of Optimizer, got Dense",
        ),
    ],
)
def test_mistakes_are_named_in_one_line(overrides, message, tmp_path, monkeypatch, capfd):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as exit_:
        main(["train", "recipe=classification/cldr_languages", "tracking=none", *overrides])
    lines = capfd.readouterr().err.splitlines()
    [line] = [line for line in lines if "seq2seq: error" in line]
    assert not [line for line in lines if line.startswith("Error")]  # Hydra's
    assert exit_.value.code == 2
    assert message in line
