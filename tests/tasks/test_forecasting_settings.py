"""Forecasting: settings that the data decide, and those that are refused before training."""

import logging

import pandas as pd
import pytest

from seq2seq.data.formats.series_format import season_length_of
from seq2seq.errors import UserError
from seq2seq.tasks.model_folder import build_task
from seq2seq.tasks.prediction_options import PredictionOptions
from tests.tasks.test_forecasting import own_cache, prepared, series_of, table  # noqa: F401

USUAL = "task.season_length=null"


def dated(frequency="MS", names=("a", "b", "c")):
    """The first series of the table, with dates instead of steps."""
    parts = [part.copy() for name, part in table().groupby("unique_id") if name in names]
    for part in parts:
        part["ds"] = pd.date_range("2001-01-01", periods=len(part), freq=frequency)
    return pd.concat(parts)


@pytest.mark.parametrize(
    ("frequency", "steps"),
    [("MS", 12), ("2ME", 6), ("QS-NOV", 4), ("W-SUN", 52), ("2W", 26), ("D", 7), ("10D", 1),
     ("B", 5), ("h", 24), ("15min", 96), ("YE", 1), (None, 1)],
)  # fmt: skip
def test_a_season_has_the_usual_steps_of_its_frequency(frequency, steps):
    assert season_length_of(frequency) == steps


def test_the_season_of_dates_is_inferred_said_and_saved(tmp_path, caplog):
    caplog.set_level(logging.INFO)
    config, task, _, _ = prepared(tmp_path, USUAL, frame=dated())
    assert task.season_length == 12
    assert "a season has 12 steps, by the frequency MS (task.season_length)" in caplog.text
    task.save(tmp_path)
    loaded = build_task(config)
    loaded.load(tmp_path)
    assert loaded.season_length == 12
    _, task, _, _ = prepared(tmp_path, USUAL)
    assert task.season_length == 1


def test_a_given_season_stays(tmp_path):
    _, task, _, _ = prepared(tmp_path, frame=dated())
    assert task.season_length == 4


def test_series_whose_embedding_is_never_trained_are_named(tmp_path, caplog):
    frame = table()
    short = frame[(frame.unique_id != "c") | (frame.ds <= 14)]
    prepared(tmp_path, "task.series_embedding=true", frame=short)
    [record] = [r for r in caplog.records if r.levelno == logging.WARNING]
    assert "1 series have no window in train" in record.getMessage()
    assert record.getMessage().endswith("poor: c")


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ("task.levels=[0.8]", "levels: are in percent, and 0.8 is below 1: give 80 for"),
        ("task.levels=[80,99]", r"learns, 0\.025 to 0\.975; intervals can have up to 95 %"),
    ],
)
def test_levels_are_checked_before_training(tmp_path, setting, message):
    with pytest.raises(UserError, match=message):
        prepared(tmp_path, setting)


def test_a_model_of_dates_refuses_steps(tmp_path):
    _, task, model, _ = prepared(tmp_path, frame=dated())
    with pytest.raises(UserError, match=r"on dates \(frequency MS\), and ds is a number"):
        task.predict(model, [{"unique_id": "a", "ds": [1, 2, 3], "y": [1.0, 2.0, 3.0]}])
    [row] = task.predict(model, [{"y": [1.0, 2.0, 3.0]}], PredictionOptions(horizon=2))
    assert row["ds"] == [4, 5]
    rows = task.predict(model, series_of(task, dated(names="a")))
    assert rows[0]["ds"][0] == "2003-07-01"


def test_a_model_of_the_calendar_needs_dates(tmp_path):
    _, task, model, _ = prepared(tmp_path, "task.calendar=[month]", frame=dated())
    with pytest.raises(UserError, match="and ds is missing; give the dates"):
        task.predict(model, [{"y": [1.0, 2.0, 3.0]}])
