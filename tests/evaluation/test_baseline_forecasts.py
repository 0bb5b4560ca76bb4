"""Baselines against statsforecast's numbers and the M3 competition, and by hand."""

import csv
import logging
import os
import sys
from collections import defaultdict
from pathlib import Path

import numpy as np
import pytest

from seq2seq.errors import UserError
from seq2seq.evaluation.baseline_forecasts import BASELINES, baseline_forecasts
from seq2seq.evaluation.forecasting import forecast_scores

DATA = Path(os.environ.get("SEQ2SEQ_DATA", "../shared/data"))
NAN = float("nan")

AIRLINE = [112, 118, 132, 129, 121, 135, 148, 148, 136, 119, 104, 118,
           115, 126, 141, 135, 125, 149, 170, 170, 158, 133, 114, 140]  # fmt: skip

# statsforecast 2.0.1 and 2.1.1: Naive, SeasonalNaive, RandomWalkWithDrift and their intervals of
# 80 % at the steps 1, 2, 12, 13 and 14 after AIRLINE
STEPS = [0, 1, 11, 12, 13]
EXPECTED = {
    "naive": (
        [140, 140, 140, 140, 140],
        [121.41318, 113.714267, 75.613366, 72.984266, 70.454487],
        [158.58682, 166.285733, 204.386634, 207.015734, 209.545513],
    ),
    "seasonal_naive": (
        [115, 126, 140, 115, 126],
        [96.013131, 107.013131, 121.013131, 88.148513, 99.148513],
        [133.986869, 144.986869, 158.986869, 141.851487, 152.851487],
    ),
}
DRIFT = [141.217391, 142.434783, 154.608696, 155.826087, 157.043478]
THETA = [140.232044, 140.717261, 145.569435, 146.054652, 146.53987]


def array(*values):
    return np.array(values, np.float64)


@pytest.mark.parametrize("name", EXPECTED)
def test_simple_methods_are_those_of_statsforecast(name):
    forecasts, quantiles = baseline_forecasts(name, [array(*AIRLINE)], 14, 12, [0.1, 0.9])
    mean, low, high = EXPECTED[name]
    np.testing.assert_allclose(forecasts[0, STEPS], mean)
    np.testing.assert_allclose(quantiles[0.1][0, STEPS], low, rtol=1e-6)
    np.testing.assert_allclose(quantiles[0.9][0, STEPS], high, rtol=1e-6)


def test_drift_is_the_line_through_first_and_last_value():
    forecasts, quantiles = baseline_forecasts("drift", [array(*AIRLINE)], 14, 12, [0.5, 0.975])
    np.testing.assert_allclose(forecasts[0, STEPS], DRIFT, rtol=1e-6)
    np.testing.assert_allclose(quantiles[0.5], forecasts)
    # Hyndman and Athanasopoulos (2021), 5.5: deviation * sqrt(h * (1 + h / (T - 1)))
    errors = np.diff(AIRLINE) - 28 / 23
    deviation = np.sqrt((errors**2).sum() / 22)
    assert errors.std(ddof=1) == pytest.approx(deviation)
    expected = 1.959964 * deviation * np.sqrt(12 * (1 + 12 / 23))
    assert quantiles[0.975][0, 11] - forecasts[0, 11] == pytest.approx(expected, rel=1e-6)


def test_naive2_knows_a_multiplicative_season():
    steps = np.arange(40)
    season = array(0.5, 1.5, 0.8, 1.2)
    history = 100 * 1.001**steps * season[steps % 4]
    forecasts, quantiles = baseline_forecasts("naive2", [history[:30]], 10, 4, [0.5])
    np.testing.assert_allclose(forecasts[0], history[30:], rtol=0.015)
    np.testing.assert_allclose(quantiles[0.5], forecasts)
    for other in (-history, history[:10], np.full(30, 3.0), np.random.default_rng(3).random(30)):
        expected, _ = baseline_forecasts("naive", [other], 5, 4)
        np.testing.assert_allclose(baseline_forecasts("naive2", [other], 5, 4)[0], expected)


def test_missing_values():
    history = array(1, 2, 3, NAN, 5, NAN, 7, NAN)
    naive, _ = baseline_forecasts("naive", [history], 3, 1)
    assert naive.tolist() == [[7, 7, 7]]
    seasonal, _ = baseline_forecasts("seasonal_naive", [history, history], 6, 4)
    assert seasonal.tolist() == [[5, 2, 7, 7, 5, 2]] * 2  # season 4 of 4 is never seen: the last
    drift, _ = baseline_forecasts("drift", [history], 2, 1)
    assert drift.tolist() == [[9, 10]]


def test_short_histories():
    for name in ("naive", "seasonal_naive", "drift"):
        forecasts, quantiles = baseline_forecasts(name, [array(4.0)], 3, 12, [0.1, 0.9])
        assert forecasts.tolist() == [[4, 4, 4]]
        assert quantiles[0.1].tolist() == quantiles[0.9].tolist() == [[4, 4, 4]]
    forecasts, _ = baseline_forecasts("seasonal_naive", [array(1, 2)], 5, 3)
    assert forecasts.tolist() == [[2, 1, 2, 2, 1]]  # one and two steps before the next are known
    with pytest.raises(ValueError, match=r"histories\[1\]"):
        baseline_forecasts("naive", [array(1), array(NAN)], 3, 12)


def test_quantiles_of_a_random_walk_contain_what_they_should():
    walks = np.random.default_rng(1).normal(size=(3000, 60)).cumsum(axis=1)
    levels = [0.025, 0.1, 0.5, 0.9, 0.975]
    for name in ("naive", "drift"):
        _, quantiles = baseline_forecasts(name, walks[:, :50], 10, 1, levels)
        for level in levels:
            below = np.mean(walks[:, 50:] <= quantiles[level], axis=0)
            np.testing.assert_allclose(below, level, atol=0.035)


def test_unknown_methods():
    with pytest.raises(UserError, match=r"'prophet': is unknown.*seasonal_naive"):
        baseline_forecasts("prophet", [array(1)], 1, 1)


def test_statsforecast_is_needed(monkeypatch):
    monkeypatch.setitem(sys.modules, "statsforecast", None)
    with pytest.raises(UserError, match=r"pip install 'keras-seq2seq\[forecasting\]'"):
        baseline_forecasts("theta", [array(*AIRLINE)], 2, 12)


@pytest.fixture
def statsforecast():
    return pytest.importorskip("statsforecast", reason="pip install 'keras-seq2seq[forecasting]'")


@pytest.mark.usefixtures("statsforecast")
def test_theta():
    forecasts, quantiles = baseline_forecasts("theta", [array(*AIRLINE)], 14, 12, [0.1, 0.5, 0.9])
    np.testing.assert_allclose(forecasts[0, STEPS], THETA, rtol=1e-5)
    np.testing.assert_allclose(quantiles[0.5], forecasts)
    assert (quantiles[0.1] < forecasts).all()
    assert (quantiles[0.9] > forecasts).all()
    plain, without = baseline_forecasts("theta", [array(*AIRLINE)], 14, 12)
    np.testing.assert_allclose(plain, forecasts)
    assert without is None


@pytest.mark.usefixtures("statsforecast")
@pytest.mark.parametrize("name", ["theta", "ets", "arima"])
def test_fitted_methods_follow_a_season(name):
    random = np.random.default_rng(2)
    steps = np.arange(72)
    series = [50 + level + 10 * np.sin(np.pi / 2 * steps) + random.normal(size=72)
              for level in (0, 30)]  # fmt: skip
    series[1][[5, 20]] = np.nan
    forecasts, quantiles = baseline_forecasts(
        name, [one[:60] for one in series], 12, 4, [0.025, 0.9]
    )
    for row, one in enumerate(series):
        np.testing.assert_allclose(forecasts[row], one[60:], atol=5)
        assert (quantiles[0.025][row] < quantiles[0.9][row]).all()
    assert np.mean(quantiles[0.025] <= [one[60:] for one in series]) > 0.8


@pytest.mark.usefixtures("statsforecast")
@pytest.mark.parametrize("name", ["theta", "ets", "arima"])
def test_what_cannot_be_fitted_gets_the_seasonal_naive_forecast(name, caplog):
    histories = [array(4), array(4, 5), array(*AIRLINE), np.full(30, 5.0)]
    with caplog.at_level(logging.WARNING):
        forecasts, quantiles = baseline_forecasts(name, histories, 3, 12, [0.1, 0.9])
    assert np.isfinite(forecasts).all()
    assert np.isfinite(list(quantiles.values())).all()
    np.testing.assert_allclose(forecasts[3], 5)
    if name != "arima":
        assert forecasts[:2].tolist() == [[4, 4, 4], [5, 5, 5]]
        assert f"{name} cannot be fitted to 2 of 4 series" in caplog.text


@pytest.mark.usefixtures("statsforecast")
def test_what_cannot_be_fitted_to_any_series():
    with pytest.raises(UserError, match=r"'ets': cannot be fitted to any of 2 series.*naive"):
        baseline_forecasts("ets", [array(4), array(4, 5)], 3, 12)


def m3_rows(name, group, horizon, season_length):
    path = DATA / "m3" / f"{group}.csv"
    if not path.exists():
        pytest.skip(f"{path} is missing")
    parts = {"train": defaultdict(list), "test": defaultdict(list)}
    with path.open(encoding="utf-8", newline="") as file:
        for line in csv.DictReader(file):
            parts[line["part"]][line["unique_id"]].append(float(line["value"]))
    histories = [array(*values) for values in parts["train"].values()]
    forecasts, _ = baseline_forecasts(name, histories, horizon, season_length)
    return [
        {"prediction": forecast.tolist(), "reference": reference}
        for forecast, reference in zip(forecasts, parts["test"].values(), strict=True)
    ]


@pytest.mark.parametrize(
    ("group", "horizon", "season_length", "expected"),
    [("yearly", 6, 1, 17.88), ("quarterly", 8, 4, 9.95), ("monthly", 18, 12, 16.91)],
)
def test_naive2_of_the_m3_competition(group, horizon, season_length, expected):
    """Makridakis and Hibon (2000), tables 13 to 16; decompositions differ at the ends."""
    scores = forecast_scores(m3_rows("naive2", group, horizon, season_length))
    assert scores["smape"] == pytest.approx(expected, abs=0.16)


@pytest.mark.usefixtures("statsforecast")
@pytest.mark.parametrize(
    ("group", "horizon", "season_length", "expected"),
    [("yearly", 6, 1, 16.90), ("quarterly", 8, 4, 8.96), ("other", 8, 1, 4.41)],
)
def test_theta_of_the_m3_competition(group, horizon, season_length, expected):
    """Makridakis and Hibon (2000), tables 13 to 16; implementations differ by half a point."""
    scores = forecast_scores(m3_rows("theta", group, horizon, season_length))
    assert scores["smape"] == pytest.approx(expected, abs=0.6)


def test_all_methods_have_names():
    assert BASELINES == ("naive", "seasonal_naive", "drift", "naive2", "theta", "ets", "arima")
