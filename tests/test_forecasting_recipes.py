"""The objects of every forecasting recipe are built, on a handful of series as its data."""

import csv

import numpy as np
import pandas as pd
import pytest

from seq2seq.config import build, composed, recipe_files, register_recipe
from seq2seq.data.formats.series import Series
from seq2seq.tasks.model_folder import build_task

SERIES = 40  # of one validation window each: calibrated intervals need 39


@pytest.mark.parametrize("name", [n for n in recipe_files() if n.startswith("forecasting/")])
def test_recipe(name, monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    config = composed([f"recipe={register_recipe(name)}", "tracking=none"])
    for part in ("data", "optimizer", "trainer", "tracking"):
        build(config, part)
    [target], horizon = config.task.targets, config.task.horizon
    length = config.task.minimum_context + 3 * horizon
    dates = [str(day.date()) for day in pd.date_range("1990-01-01", periods=length, freq="D")]
    values = 50 + np.random.default_rng(0).normal(size=(SERIES, length)).cumsum(axis=1)
    with (tmp_path / "series.csv").open("w", newline="") as file:
        lines = csv.writer(file)
        lines.writerow(["unique_id", "ds", target, *config.task.static])
        for number, row in enumerate(values):
            lines.writerows(
                [number, day, value, *("micro" for _ in config.task.static)]
                for day, value in zip(dates, row, strict=True)
            )
    data = Series(
        str(tmp_path),
        "series.csv",
        targets=[target],
        static=list(config.task.static),
        frequency="D",
        validation_length=horizon,
        test_length=horizon,
    )
    task = build_task(config)
    task.prepare(data, seed=1)
    model = build(config, "model", **task.model_arguments())
    rows = task.evaluate(model, data.records("test")).rows
    assert len(rows) == SERIES
    assert all(np.isfinite(row["prediction"]).all() for row in rows)
