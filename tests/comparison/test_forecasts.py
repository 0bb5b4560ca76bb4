"""The test of equal accuracy of forecasts, against Nixtla's losses and SciPy's paired t-test."""

import json

import numpy as np
import pandas as pd
import pytest
from scipy.stats import ttest_rel

from seq2seq.comparison.compare import compare
from seq2seq.comparison.finished_run import read_run
from seq2seq.comparison.forecasts import diebold_mariano_p_value
from seq2seq.comparison.report import as_json, tables
from seq2seq.comparison.verdict import verdict
from tests.comparison.made_up_runs import forecast_run

utilsforecast = pytest.importorskip("utilsforecast.losses")


def table_of(runs):
    """The forecasts of all runs, as Nixtla's libraries have them."""
    steps = [
        {"unique_id": row["unique_id"], "y": reference, "A": one, "B": other}
        for row, second in zip(runs[0].rows, runs[1].rows, strict=True)
        for reference, one, other in zip(
            row["reference"], row["prediction"], second["prediction"], strict=True
        )
    ]
    return pd.DataFrame(steps)


@pytest.mark.parametrize(
    ("metric", "loss", "scale"),
    [
        ("smape", utilsforecast.smape, None),
        ("mae", utilsforecast.mae, None),
        ("rmse", utilsforecast.mse, None),
        ("mase", utilsforecast.mae, "scale"),
        ("rmsse", utilsforecast.mse, "squared_scale"),
    ],
)
def test_the_p_value_is_that_of_the_losses_of_each_series(tmp_path, metric, loss, scale):
    runs = [read_run(forecast_run(tmp_path / str(noise), noise)) for noise in (1.0, 1.3)]
    losses = loss(table_of(runs), models=["A", "B"]).set_index("unique_id")
    if scale is not None:
        losses = losses.div(pd.Series({r["unique_id"]: r[scale] for r in runs[0].rows}), axis=0)
    expected = ttest_rel(losses["A"], losses["B"]).pvalue
    assert diebold_mariano_p_value(metric, *runs) == pytest.approx(expected)
    assert np.isfinite(expected)


def test_the_verdict_on_few_series_is_not_the_bootstrap_s(tmp_path):
    runs = [read_run(forecast_run(tmp_path / str(noise), noise)) for noise in (1.0, 1.3)]
    assert "(Diebold-Mariano)" in verdict(compare(runs))


def test_errors_in_seasons_of_other_lengths_are_not_compared(tmp_path):
    runs = [read_run(forecast_run(tmp_path / str(s), 1.0, season_length=s)) for s in (1, 12)]
    comparison = compare(runs)
    assert "mase" not in {test.result.metric for test in comparison.tests}
    assert "mae" in {test.result.metric for test in comparison.tests}


def with_baselines(folder, lines):
    (folder / "tables").mkdir()
    text = "".join(json.dumps(line) + "\n" for line in lines)
    (folder / "tables" / "test_baselines.jsonl").write_text(text)
    return read_run(folder)


def test_the_best_baseline_stands_beside_the_runs(tmp_path):
    first = [{"method": "model", "mase": 0.1, "mae": 9.0}, {"method": "naive", "mase": 2.5}]
    second = [{"method": "ets", "mase": 1.5, "mae": 4.25}, {"method": "theta", "mase": 1.75}]
    runs = [
        with_baselines(forecast_run(tmp_path / str(noise), noise), lines)
        for noise, lines in ((1.0, first), (1.3, second))
    ]
    comparison = compare(runs)
    [scores] = [table for table in tables(comparison) if table.title == "Test scores"]
    assert scores.head[-1] == "best baseline: ets"
    cells = {row[0]: row[-1] for row in scores.rows}
    assert (cells["mase"], cells["mae"], cells["smape"]) == ("1.5", "4.25", "-")
    assert cells["training: seconds"] == "-"
    assert json.loads(as_json(comparison))["best_baseline"] == second[0]


@pytest.mark.parametrize("other", [{"season_length": 12}, {"series": 4}])
def test_no_baseline_is_shown_beside_runs_that_cannot_be_compared(tmp_path, other):
    lines = [{"method": "naive", "mase": 2.0}]
    folders = [forecast_run(tmp_path / "a"), forecast_run(tmp_path / "b", **other)]
    comparison = compare([with_baselines(folder, lines) for folder in folders])
    assert comparison.baseline_scores == {}
    assert any(note.startswith("There are no baselines: ") for note in comparison.notes)
    assert all("best baseline" not in " ".join(table.head) for table in tables(comparison))
