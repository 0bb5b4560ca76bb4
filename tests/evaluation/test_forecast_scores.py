"""Scores of forecasts against utilsforecast, scikit-learn, SciPy and the M3 competition."""

import csv
import os
from collections import defaultdict
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import norm, t, ttest_rel
from sklearn.metrics import mean_pinball_loss

from seq2seq.evaluation.forecasting import (
    diebold_mariano,
    forecast_scores,
    owa,
    scores_by_step,
    seasonal_scale,
    series_statistics,
)
from seq2seq.evaluation.item_statistics import SCORES, statistics_matrices

CASES = settings(derandomize=True, deadline=None, max_examples=25)
DATA = Path(os.environ.get("SEQ2SEQ_DATA", "../shared/data"))

HISTORIES = [
    [112, 118, 132, 129, 121, 135, 148, 148, 136, 119, 104, 118],
    [115, 126, 141, 135, 125, 149, 170, 170, 158, 133, 114, 140],
]
FORECASTS = [[110, 120, 130, 125], [150, 180, 175, 160]]
REFERENCES = [[115, 126, 141, 135], [145, 150, 178, 163]]


def row(forecast, reference, scales=(1.0, 1.0), quantiles=None):
    return {
        "prediction": list(forecast),
        "reference": list(reference),
        "quantiles": {str(level): list(steps) for level, steps in (quantiles or {}).items()},
        "scale": scales[0],
        "squared_scale": scales[1],
    }


def small_rows():
    return [
        row(
            forecast,
            reference,
            seasonal_scale(np.array(history), 4),
            {0.9: [value + 12 for value in forecast], 0.1: [value - 10 for value in forecast]},
        )
        for forecast, reference, history in zip(FORECASTS, REFERENCES, HISTORIES, strict=True)
    ]


def random_rows(seed, rows=7, horizon=5, levels=(0.025, 0.1, 0.5, 0.9, 0.975)):
    random = np.random.default_rng(seed)
    result = []
    for _ in range(rows):
        forecast = random.normal(10, 3, horizon)
        reference = forecast + random.normal(0, 1, horizon)
        reference[random.random(horizon) < 0.2] = np.nan
        quantiles = {level: forecast + norm.ppf(level) for level in levels}
        result.append(row(forecast, reference, random.uniform(0.5, 2, 2), quantiles))
    return result


def from_statistics(name, statistics):
    statistic, from_sums = SCORES[name]
    [matrix] = statistics_matrices(statistic, statistics)
    return float(from_sums(matrix.sum(0)[None])[0])


def test_scores_are_those_of_utilsforecast():
    # utilsforecast 0.2.17: mase, rmsse, smape (of 0 to 1), mae, coverage, mqloss of the same data
    by_row = [forecast_scores([one]) for one in small_rows()]
    for name, expected in {
        "mase": [0.385542, 0.353448],
        "rmsse": [0.361996, 0.483251],
        "smape": [200 * 0.031416, 200 * 0.031411],
        "mae": [8.0, 10.25],
        "rmse": [8.396428, 15.354153],
        "coverage_80": [1.0, 0.75],
        "pinball": [1.1, 3.6],
    }.items():
        assert [scores[name] for scores in by_row] == pytest.approx(expected, rel=2e-5)
    scores = forecast_scores(small_rows())
    assert scores["mase"] == pytest.approx((0.385542 + 0.353448) / 2, rel=1e-5)
    assert scores["width_80"] == pytest.approx(22)
    assert scores["crps"] == pytest.approx(1.1 + 3.6)
    assert "coverage_95" not in scores


@CASES
@given(st.integers(0, 10**6))
def test_pinball_is_scikit_learns(seed):
    rows = random_rows(seed)
    known = ~np.isnan([r["reference"] for r in rows])
    references = np.array([r["reference"] for r in rows])[known]
    losses = [
        mean_pinball_loss(
            references, np.array([r["quantiles"][str(level)] for r in rows])[known], alpha=level
        )
        for level in (0.025, 0.1, 0.5, 0.9, 0.975)
    ]
    assert forecast_scores(rows)["pinball"] == pytest.approx(np.mean(losses))


def test_crps_of_a_normal_distribution():
    levels = np.arange(1, 200) / 200
    quantiles = {level: [3 + 2 * norm.ppf(level)] for level in levels}
    z = (4.5 - 3) / 2  # its closed form: Gneiting and Raftery (2007)
    expected = 2 * (z * (2 * norm.cdf(z) - 1) + 2 * norm.pdf(z) - 1 / np.sqrt(np.pi))
    scores = forecast_scores([row([3], [4.5], quantiles=quantiles)])
    assert scores["crps"] == pytest.approx(expected, rel=0.01)


def test_intervals_of_a_normal_distribution():
    scores = forecast_scores(random_rows(1, rows=4000))
    for percent, width in ((80, 2 * 1.28155), (95, 2 * 1.95996)):
        assert scores[f"coverage_{percent}"] == pytest.approx(percent / 100, abs=0.01)
        assert scores[f"width_{percent}"] == pytest.approx(width, rel=1e-4)


def test_missing_values_and_scales_are_left_out():
    rows = [
        row([1, 2, 3], [2, float("nan"), 5], (2.0, 4.0)),
        row([1, 1], [4, 4], (None, None)),
        row([0], [0], (0.0, 0.0)),
        row([7], [None], (1.0, 1.0)),
    ]
    scores = forecast_scores(rows)
    assert scores["mae"] == pytest.approx((1 + 2 + 3 + 3 + 0) / 5)
    assert scores["rmse"] == pytest.approx(np.sqrt((1 + 4 + 9 + 9 + 0) / 5))
    assert scores["smape"] == pytest.approx((200 / 3 + 50 + 120 + 120 + 0) / 5)
    assert scores["mase"] == pytest.approx(1.5 / 2)
    assert scores["rmsse"] == pytest.approx(np.sqrt(2.5 / 4))
    assert {"mae", "rmse", "smape"} == set(forecast_scores(rows[1:3]))
    assert forecast_scores(rows[3:]) == {}


@CASES
@given(st.integers(0, 10**6))
def test_sums_of_statistics_give_the_scores(seed):
    rows = random_rows(seed)
    statistics = series_statistics(rows)
    for name, score in forecast_scores(rows).items():
        assert from_statistics(name, statistics) == pytest.approx(score)
    mase = [statistic["mase"] for statistic in statistics]
    mean_errors = [np.nanmean(np.abs(np.subtract(r["prediction"], r["reference"]))) for r in rows]
    expected = np.divide(mean_errors, [r["scale"] for r in rows])
    np.testing.assert_allclose(mase, np.stack([expected, np.ones(7)], axis=1))


def test_steps():
    rows = random_rows(2)
    table = scores_by_step(rows)
    assert [entry["step"] for entry in table] == [1, 2, 3, 4, 5]
    for index, entry in enumerate(table):
        errors = np.array([r["reference"][index] - r["prediction"][index] for r in rows])
        scales = np.array([r["scale"] for r in rows])
        assert entry["mae"] == pytest.approx(np.nanmean(np.abs(errors)))
        assert entry["mase"] == pytest.approx(np.nanmean(np.abs(errors) / scales))
        assert entry["coverage_80"] == pytest.approx(
            np.mean(np.abs(errors[~np.isnan(errors)]) <= norm.ppf(0.9))
        )


def test_rows_must_have_the_same_quantiles():
    with pytest.raises(ValueError, match="quantiles"):
        forecast_scores([row([1], [1], quantiles={0.5: [1]}), row([1], [1])])
    with pytest.raises(ValueError, match="at least one"):
        forecast_scores([])


@pytest.mark.parametrize(
    ("history", "season_length", "expected"),
    [
        ([1, 2, 4, 8], 1, (7 / 3, 21 / 3)),
        ([1, 2, 4, 8], 2, (4.5, (9 + 36) / 2)),
        ([1, float("nan"), 4, 8, 6], 1, (3.0, (16 + 4) / 2)),
        ([5, 5, 5], 1, (0.0, 0.0)),
        ([1, 2, 3], 3, (float("nan"), float("nan"))),
        ([], 12, (float("nan"), float("nan"))),
    ],
)
def test_seasonal_scales(history, season_length, expected):
    assert seasonal_scale(np.array(history), season_length) == pytest.approx(expected, nan_ok=True)


def test_owa_of_the_m4_competition():
    # Makridakis et al. (2020), all series: Naive2 13.564 and 1.912, Theta 12.309 and 1.696: 0.897
    assert owa(12.309, 1.696, 13.564, 1.912) == pytest.approx(0.897, abs=5e-4)


@pytest.mark.parametrize(("group", "expected"), [("yearly", 17.88), ("other", 6.30)])
def test_naive_forecasts_of_the_m3_competition(group, expected):
    """Makridakis and Hibon (2000), table 6: Naive2, which is naive where there is no season."""
    path = DATA / "m3" / f"{group}.csv"
    if not path.exists():
        pytest.skip(f"{path} is missing")
    parts = {"train": defaultdict(list), "test": defaultdict(list)}
    with path.open(encoding="utf-8", newline="") as file:
        for line in csv.DictReader(file):
            parts[line["part"]][line["unique_id"]].append(float(line["value"]))
    rows = [
        row([history[-1]] * len(parts["test"][name]), parts["test"][name])
        for name, history in parts["train"].items()
    ]
    assert forecast_scores(rows)["smape"] == pytest.approx(expected, abs=0.005)


@CASES
@given(st.integers(0, 10**6), st.integers(8, 60))
def test_diebold_mariano_of_one_step_is_the_paired_t_test(seed, cutoffs):
    one, other = np.random.default_rng(seed).normal(size=(2, cutoffs))
    expected = ttest_rel(one**2, other**2)
    statistic, p_value = diebold_mariano(one, other)
    assert statistic == pytest.approx(expected.statistic)
    assert p_value == pytest.approx(expected.pvalue)
    expected = ttest_rel(abs(one), abs(other))
    assert diebold_mariano(one, other, power=1) == pytest.approx(
        (expected.statistic, expected.pvalue)
    )


def test_diebold_mariano_of_several_steps_by_its_formula():
    one, other = np.random.default_rng(3).normal(size=(2, 40)).cumsum(axis=1)
    d = one**2 - other**2
    n, h = 40, 4
    gamma = [sum((d[i] - d.mean()) * (d[i - k] - d.mean()) for i in range(k, n)) / n
             for k in range(h)]  # fmt: skip
    statistic = d.mean() / np.sqrt((gamma[0] + 2 * (gamma[1] + gamma[2] + gamma[3])) / n)
    statistic *= np.sqrt((n + 1 - 2 * h + h * (h - 1) / n) / n)
    expected = statistic, 2 * t.sf(abs(statistic), n - 1)
    assert diebold_mariano(one, other, 4) == pytest.approx(expected)
    assert diebold_mariano(other, one, 4) == pytest.approx((-expected[0], expected[1]))


def test_diebold_mariano_rarely_rejects_equal_forecasts():
    random = np.random.default_rng(4)
    shocks = random.normal(size=(400, 2, 82))
    errors = shocks[:, :, 2:] + shocks[:, :, 1:-1] + shocks[:, :, :-2]  # overlapping, 3 steps
    p_values = np.array([diebold_mariano(*pair, 3)[1] for pair in errors])
    assert np.mean(p_values < 0.05) == pytest.approx(0.06, abs=0.035)
    without = np.array([diebold_mariano(*pair, 1)[1] for pair in errors])
    assert np.mean(without < 0.05) > 0.12


def test_diebold_mariano_without_variance():
    assert diebold_mariano([1, 2, 3], [1, -2, 3]) == (0.0, 1.0)
    assert diebold_mariano([1, 1, 1], [2, 2, 2]) == (-np.inf, 0.0)
    with pytest.raises(ValueError, match="cutoffs"):
        diebold_mariano([1, 2], [1, 3], 2)
