"""Columns of series: calendars against pandas, numbers against scikit-learn."""

import numpy as np
import pandas as pd
import pytest
from sklearn.preprocessing import StandardScaler

from seq2seq.data.series_columns import CALENDAR, CalendarFeature, Categories, NumberSequence
from seq2seq.errors import UserError

DATES = pd.date_range("1999-12-28T00:00", periods=900, freq="13h37min")


@pytest.mark.parametrize("part", CALENDAR)
def test_calendar_features_are_the_angles_of_the_parts_that_pandas_finds(part):
    expected = {
        "month": (DATES.month - 1) / 12,
        "day_of_year": (DATES.day_of_year - 1) / 365.25,
        "day_of_month": (DATES.day - 1) / 31,
        "day_of_week": DATES.day_of_week / 7,
        "hour": DATES.hour / 24,
        "minute": DATES.minute / 60,
    }[part]
    texts = [date.isoformat() for date in DATES]
    for function in (np.sin, np.cos):
        [found] = CalendarFeature(part, function.__name__).encode([texts])
        np.testing.assert_allclose(found, function(2 * np.pi * expected), atol=1e-12)


def test_steps_have_no_calendar():
    with pytest.raises(UserError, match=r"task\.calendar: month needs dates"):
        CalendarFeature("month", "sin").encode([[1, 2, 3]])


def test_numbers_are_standardised_over_all_series_as_by_scikit_learn():
    records = [{"price": [3.0, np.nan, 5.0]}, {"price": [7.0]}]
    column = NumberSequence("price").fit(records)
    expected = StandardScaler().fit_transform([[3.0], [5.0], [7.0]]).ravel()
    np.testing.assert_allclose(column.encode([[3.0, 5.0, 7.0]])[0], expected)
    assert len(column.encode([4.0])[0]) == 1


def test_a_constant_covariate_becomes_0():
    column = NumberSequence("price").fit([{"price": [3.0, 3.0]}])
    assert column.encode([[3.0]])[0].tolist() == [0.0]


def test_texts_become_one_hot_vectors_and_unknown_ones_zeros():
    column = Categories("kind").fit([{"kind": "micro"}, {"kind": "finance"}, {"kind": "micro"}])
    assert [v.tolist() for v in column.encode(["finance", "micro", "other"])] == [
        [1, 0],
        [0, 1],
        [0, 0],
    ]
