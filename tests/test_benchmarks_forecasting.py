"""The benchmarks of forecasting: how rows become scores, means, ensembles, ratios and tables."""

import json

import pytest

from benchmarks import forecasting, m3


def row(prediction, reference, name="N1", scale=10.0):
    quantiles = {
        str(level): [value + 10 * (level - 0.5) for value in prediction] for level in m3.LEVELS
    }
    return {
        "unique_id": name,
        "cutoff": 3,
        "prediction": prediction,
        "quantiles": quantiles,
        "reference": reference,
        "scale": scale,
        "squared_scale": scale**2,
    }


def test_an_ensemble_is_the_mean_of_its_members():
    [joined] = m3.ensemble([[row([100.0, 200.0], [0.0, 0.0])], [row([110.0, 220.0], [0.0, 0.0])]])
    assert joined["prediction"] == [105.0, 210.0]
    assert joined["quantiles"]["0.9"] == pytest.approx([109.0, 214.0])
    with pytest.raises(ValueError, match="different series"):
        m3.ensemble([[row([1.0], [1.0])], [row([1.0], [1.0], name="N2")]])


def test_smape_is_pooled_over_forecasts_and_mase_over_series():
    rows = {
        "yearly": {"seed 1": [row([300.0], [100.0], scale=100.0)]},  # sMAPE 100, MASE 2
        "other": {"seed 1": [row([100.0] * 3, [100.0] * 3, name="N2")]},
    }
    found = m3.of_all(rows)
    assert found["seed 1"] == pytest.approx({"smape": 25.0, "mase": 1.0})
    assert found["mean of seeds"] == found["seed 1"]


def test_seeds_are_averaged_and_others_are_not():
    scores = {"seed 1": {"smape": 1.0}, "seed 2": {"smape": 3.0}, "ensemble": {"smape": 9.0}}
    assert m3.mean_of_seeds(scores) == {"smape": 2.0}


def test_other_methods_forecast_the_same_rows(monkeypatch, tmp_path):
    monkeypatch.setenv("SEQ2SEQ_BENCHMARKS", str(tmp_path))
    forecast = {
        "cutoff": 3,
        "prediction": [7.0],
        "quantiles": {str(level): [7.0] for level in m3.LEVELS},
    }
    found = {"times": {"seconds": 1.5}, "forecasts": {"N1": forecast}}
    monkeypatch.setattr(m3, "classical", lambda *_: found)
    rows, times = m3.forecast_with("theta", "yearly", [row([5.0], [6.0])])
    assert times == {"seconds": 1.5}
    assert rows[0] | forecast == rows[0]
    assert rows[0]["reference"] == [6.0]
    forecast["cutoff"] = 4
    with pytest.raises(ValueError, match="N1: the test part begins after 4"):
        m3.forecast_with("theta", "yearly", [row([5.0], [6.0])])


def test_rows_are_read_from_a_run(tmp_path):
    path = tmp_path / "test.jsonl"
    path.write_text("\n".join(json.dumps(row([1.0], [2.0])) for _ in range(2)), encoding="utf-8")
    assert len(m3.read_rows(path)) == 2


def test_a_table_has_a_line_for_each_method():
    scores = {"smape": 12.345, "mase": 1.0}
    intervals = {"coverage_80": 0.8, "coverage_95": 0.9512, "crps": 400.0}
    groups = {
        group: {
            "scores": {name: {**scores, **intervals} for name in ("seed 1", "theta")},
            "times": {
                "seed 1": {"seconds": 60.4},
                "theta": {"seconds": 9.0, "processor_seconds": 2.0},
            },
        }
        for group in ("yearly", "monthly")
    }
    lines = m3.table({"groups": groups, "all": {"seed 1": scores, "theta": scores}}).splitlines()
    assert len({line.count("|") for line in lines}) == 1
    line = "| seed 1 | 12.35 | 12.35 | 12.35 | 1.000 | 80.0 | 95.1 | 400.0 | 120.8 |"
    assert lines[3].endswith("| 4.0 |")
    assert lines[2].replace("12.34 ", "12.35 ") == line


def test_ratios_are_of_medians_with_the_faster_pytorch():
    def speeds(*values):
        return [{"windows_per_second": v, "windows_per_processor_second": v / 2} for v in values]

    training = {
        "seq2seq": speeds(10.0, 90.0, 40.0),
        "torch": speeds(1.0, 2.0, 3.0),
        "torch_tuned": speeds(16.0, 16.0, 99.0),
    }
    calls = [{"seconds_together": 2.0, "seconds_one_by_one": 30.0}]
    ratios = forecasting.ratios(training, calls)
    assert ratios == {
        "over_torch": 2.5,
        "over_torch_by_processor": 2.5,
        "together_over_alone": 15.0,
    }
    found = {"training": training, "calls": calls, "ratios": ratios, "series": 10_000}
    text = forecasting.table(found)
    assert "| seq2seq | 40 | (10 to 90) | 20 | (5 to 45) |" in text
    assert "over_torch: 2.50 (goal 2)" in text
