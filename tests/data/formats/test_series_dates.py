"""Dates that come after a series, against pandas."""

import numpy as np
import pandas as pd
import pytest

from seq2seq.data.formats.series_dates import future_dates, iso, positions

FREQUENCIES = [
    "min", "h", "6h", "D", "3D", "B", "W-SAT", "2W-SUN", "MS", "ME", "2ME", "QS-FEB", "QE-DEC",
    "YS-JAN", "YE-JUN",
]  # fmt: skip


@pytest.mark.parametrize("frequency", FREQUENCIES)
def test_future_dates_continue_a_series(frequency):
    dates = pd.date_range("2020-01-30 06:00", periods=20, freq=frequency)
    texts = iso(dates.to_numpy().astype("datetime64[us]"))
    assert future_dates(texts[:12], frequency, 8) == texts[12:]
    assert future_dates(texts[:12], frequency, 0) == []


def test_future_steps_and_other_dates():
    assert future_dates([4, 5], None, 3) == [6, 7, 8]
    assert future_dates(["2001-01-15"], "MS", 2) == ["2001-02-01", "2001-03-01"]
    assert future_dates(["2001-01-31"], "ME", 1) == ["2001-02-28"]
    assert future_dates(["2001-01-01T23:00:00"], "h", 1) == ["2001-01-02T00:00:00"]
    assert future_dates(["2001-12-31"], "12h", 2) == ["2001-12-31T12:00:00", "2002-01-01T00:00:00"]


@pytest.mark.parametrize("frequency", FREQUENCIES)
def test_positions_are_those_of_a_date_range(frequency):
    generator = np.random.default_rng(2)
    steps, parts = [], []
    for start in ("2001-01-01", "2001-02-07", "1985-11-30"):
        dates = pd.date_range(start, periods=60, freq=frequency).to_numpy()
        chosen = np.sort(generator.choice(60, 20, replace=False))
        steps.append(chosen - chosen[0])
        parts.append(dates[chosen].astype("datetime64[us]"))
    found, off = positions(np.concatenate(parts), np.array([0, 20, 40, 60]), frequency)
    assert found.tolist() == np.concatenate(steps).tolist()
    assert not off.any()


def test_dates_between_are_found():
    dates = np.array(["2001-01-01", "2001-01-15", "2001-03-01"], "datetime64[us]")
    assert positions(dates, np.array([0, 3]), "MS")[1].tolist() == [False, True, False]
    assert positions(dates, np.array([0, 3]), "2MS")[1].tolist() == [False, True, False]
    assert positions(dates[[0, 2]], np.array([0, 2]), "3MS")[1].tolist() == [False, True]
    assert positions(dates, np.array([0, 3]), "7D")[1].tolist() == [False, False, True]
