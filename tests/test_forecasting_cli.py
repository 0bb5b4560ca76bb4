"""Forecasting as a person uses it: train, look, evaluate, predict, compare, on real series."""

import io
import json

import numpy as np
import pandas as pd
import pytest

import seq2seq as package
from seq2seq.cli import main
from seq2seq.data.embedded.co2 import Co2

SMALL = ["model.encoder.units=8", "tracking=none"]


def seq2seq(*arguments):
    with pytest.raises(SystemExit) as ended:
        main([str(argument) for argument in arguments])
    return ended.value.code


@pytest.fixture(scope="module")
def workplace(tmp_path_factory):
    """A folder with a table of CO2, as pandas writes it, and two trained runs."""
    folder = tmp_path_factory.mktemp("series")
    record = next(iter(Co2().records("test")))
    frame = pd.DataFrame({"ds": pd.to_datetime(record["ds"]), "y": record["y"]})
    frame.to_csv(folder / "co2.csv", index=False)
    frame.to_parquet(folder / "co2.parquet")
    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.setenv("XDG_CACHE_HOME", str(folder / "cache"))
        for name, settings in (
            ("run", ["trainer.epochs=3"]),
            ("other", ["model=autoregressive_forecaster", "model.decoder.units=8"]),
        ):
            arguments = [*SMALL, "trainer.epochs=2", *settings, f"hydra.run.dir={folder}/{name}"]
            assert seq2seq("train", "forecasting/co2", *arguments) == 0
    return folder


def test_a_run_learns_and_is_a_folder(workplace):
    run = workplace / "run"
    metrics = json.loads((run / "metrics.json").read_text())
    history = [json.loads(line) for line in (run / "history.jsonl").read_text().splitlines()]
    assert history[-1]["val_loss"] < history[0]["val_loss"]
    assert {"mase", "smape", "owa", "crps", "coverage_80", "loss"} <= set(metrics["test"])
    assert "perplexity" not in metrics["test"]
    for name in ("forecasts", "error_by_step", "residuals", "calibration", "curves"):
        assert (run / "plots" / f"{name}.png").stat().st_size > 0
    lines = (run / "tables" / "test_baselines.jsonl").read_text().splitlines()
    methods = [json.loads(line)["method"] for line in lines]
    assert methods == ["model", "naive", "naive2", "seasonal_naive", "drift"]


def test_predict_a_file_in_several_formats(workplace, capsys, monkeypatch):
    run, frames = workplace / "run", []
    for source, target in (("co2.csv", "a.csv"), ("co2.parquet", "b.parquet"), ("co2.csv", "-")):
        out = workplace / target if target != "-" else target
        arguments = (workplace / source, "--horizon", 6, "--level", 80, 95, "-o", out)
        capsys.readouterr()
        assert seq2seq("predict", run, *arguments) == 0
        if target == "-":
            frames.append(pd.read_csv(io.StringIO(capsys.readouterr().out)))
        else:
            frames.append((pd.read_csv if target.endswith("csv") else pd.read_parquet)(out))
    columns = ["unique_id", "ds", "y", "y-lo-95", "y-lo-80", "y-hi-80", "y-hi-95"]
    for frame in frames:
        assert list(frame.columns) == columns
        assert [str(ds)[:10] for ds in frame.ds] == [f"2002-{month:02}-01" for month in range(1, 7)]
        assert (frame[columns[3:]].diff(axis=1).iloc[:, 1:] > 0).to_numpy().all()
        np.testing.assert_allclose(frame.y, frames[0].y, rtol=1e-9)
    assert frames[1].ds.dtype == pd.read_parquet(workplace / "co2.parquet").ds.dtype
    text = (workplace / "co2.csv").read_bytes()
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(text), "utf-8"))
    assert seq2seq("predict", run, "-", "--format", "jsonl") == 0
    row = json.loads(capsys.readouterr().out)
    assert row["unique_id"] == "stdin"
    assert len(row["prediction"]) == 24
    np.testing.assert_allclose(row["prediction"][:6], frames[0].y, rtol=1e-6)


def test_python_takes_and_returns_a_data_frame(workplace):
    predict = package.load(workplace / "run")
    frame = pd.read_parquet(workplace / "co2.parquet")
    forecast = predict(frame, horizon=3, levels=[80])
    assert list(forecast.columns) == ["unique_id", "ds", "y", "y-lo-80", "y-hi-80"]
    several = pd.concat([frame.assign(unique_id=name) for name in ("x", "y")])
    both = predict(several, horizon=3)
    assert both.unique_id.tolist() == ["x"] * 3 + ["y"] * 3
    np.testing.assert_allclose(both.y[3:], forecast.y, rtol=1e-6)


@pytest.mark.parametrize(
    "typed",
    [
        lambda ds: ds,
        lambda ds: ds.astype("datetime64[ns]"),
        lambda ds: ds.dt.tz_localize("Europe/Berlin"),
        lambda ds: ds.dt.to_period("M"),
        lambda ds: ds.dt.date,
        lambda ds: ds.dt.strftime("%Y-%m-%d"),
    ],
)
def test_dates_and_names_keep_their_types(workplace, typed):
    frame = pd.read_parquet(workplace / "co2.parquet")
    actuals = frame.assign(ds=typed(frame.ds), unique_id=7)
    forecast = package.load(workplace / "run")(actuals.iloc[:-3], horizon=3)
    assert forecast.dtypes["ds"] == actuals.dtypes["ds"]
    merged = forecast.merge(actuals, on=["unique_id", "ds"])
    assert merged.y_y.tolist() == actuals.y.tolist()[-3:]


def test_settings_of_reading_in_a_prediction(workplace, capsys, caplog):
    frame = pd.read_csv(workplace / "co2.csv").tail(60).reset_index(drop=True)
    forecast = package.load(workplace / "run")
    expected = forecast(frame)
    shuffled, holes = frame.sample(frac=1, random_state=1), frame.drop(index=20)
    between = (frame.y[19] + frame.y[21]) / 2
    filled = forecast(frame.assign(y=frame.y.where(frame.index != 20, between)))
    for faulty, setting, value, truth in (
        (shuffled, "data.sort", True, expected),
        (holes, "data.missing", "linear", filled),
    ):
        with pytest.raises(package.UserError, match=rf"is given as \*\*{{'{setting}': ...}}"):
            forecast(faulty)
        pd.testing.assert_frame_equal(forecast(faulty, **{setting: value}), truth)
        path = workplace / "faulty.csv"
        faulty.to_csv(path, index=False)
        assert seq2seq("predict", workplace / "run", path) == 2
        assert f"--set {setting}=" in capsys.readouterr().err
        assert seq2seq("predict", workplace / "run", path, "--set", f"{setting}={value}") == 0
        written = pd.read_csv(io.StringIO(capsys.readouterr().out))
        np.testing.assert_allclose(written.y, truth.y, rtol=1e-6)


def test_short_series_are_left_out_of_a_prediction(workplace, caplog):
    frame = pd.read_csv(workplace / "co2.csv").tail(60)
    several = pd.concat([frame.assign(unique_id="long"), frame.tail(6).assign(unique_id="short")])
    forecast = package.load(workplace / "run")
    assert set(forecast(several).unique_id) == {"long"}
    assert "1 of 2 series are too short and left out (the DataFrame, row 61 (short))" in caplog.text
    with pytest.raises(package.UserError, match="1 of 2 series are too short"):
        forecast(several, **{"data.too_short": "refuse"})
    with pytest.raises(package.UserError, match="2 of 2 series are too short"):
        forecast(several.groupby("unique_id").tail(5))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"h": 12}, "h: no such argument; the nearest is 'horizon'"),
        ({"level": [80]}, "level: no such argument; the nearest is 'levels'"),
        ({"futr_df": pd.DataFrame({"y": [1]})}, "futr_df: no such argument.*rows of the future"),
        ({"batch_size": pd.DataFrame({"y": [1]})}, "batch_size: must be a whole number, not Data"),
        ({"data.missng": "zero"}, "data.missng: cannot be.*nearest is 'data.missing'"),
        ({"data.missing": "interpolate"}, "data.missing=interpolate: no such choice"),
        ({"data.sort": "yes"}, "data.sort: must be true or false, got 'yes'"),
        ({"data.too_short": "drop"}, "data.too_short=drop: there is leave_out and refuse"),
    ],
)
def test_unknown_arguments_in_python(workplace, arguments, message):
    frame = pd.read_csv(workplace / "co2.csv").tail(60)
    forecast = package.load(workplace / "run")
    with pytest.raises(package.UserError, match=message):
        forecast(frame, **arguments)
    with pytest.raises(package.UserError, match="the DataFrame has no column 'y'"):
        forecast(frame.rename(columns={"y": "Y"}))


def test_training_takes_no_frame(workplace):
    frame = pd.read_csv(workplace / "co2.csv")
    with pytest.raises(package.UserError, match=r"data.files: must be .* training reads files"):
        package.train("forecasting/own_data", {"data.files": frame})


def test_the_predictions_of_a_run_have_a_row_for_each_step(workplace):
    table = package.Run(workplace / "run").predictions("test")
    columns = ["unique_id", "ds", "cutoff", "target", "y", "forecast"]
    assert list(table.columns)[:6] == columns
    assert {"forecast-lo-80", "forecast-hi-95"} <= set(table.columns)
    actuals = pd.read_parquet(workplace / "co2.parquet")
    merged = table.merge(actuals, on="ds")
    np.testing.assert_allclose(merged.y_x, merged.y_y)
    metrics = json.loads((workplace / "run" / "metrics.json").read_text())
    assert (table.y - table.forecast).abs().mean() == pytest.approx(metrics["test"]["mae"])


def test_evaluate_the_run_and_a_file(workplace, capsys):
    expected = json.loads((workplace / "run" / "metrics.json").read_text())["test"]
    for arguments in ((), ("--source", workplace / "co2.csv")):
        capsys.readouterr()
        assert seq2seq("evaluate", workplace / "run", *arguments) == 0
        scores = json.loads(capsys.readouterr().out)
        for name in ("mase", "smape", "crps", "owa"):
            assert scores[name] == pytest.approx(expected[name], rel=1e-6)


def test_settings_of_reading_in_an_evaluation(workplace, capsys):
    expected = json.loads((workplace / "run" / "metrics.json").read_text())["test"]
    frame, path = pd.read_csv(workplace / "co2.csv"), workplace / "shuffled.csv"
    frame.sample(frac=1, random_state=1).to_csv(path, index=False)
    assert seq2seq("evaluate", workplace / "run", "--source", path) == 2
    assert "is given as --set data.sort=VALUE." in capsys.readouterr().err
    arguments = ("evaluate", workplace / "run", "--set", "data.sort=true")
    assert seq2seq(*arguments, "--source", path) == 0
    assert json.loads(capsys.readouterr().out)["mase"] == pytest.approx(expected["mase"], rel=1e-6)
    assert seq2seq(*arguments) == 2
    assert "--set: says how a table of series is read; give --source" in capsys.readouterr().err


def test_compare_two_runs(workplace, capsys):
    page = workplace / "page"
    assert seq2seq("compare", workplace / "run", workplace / "other", "-o", page) == 0
    report = capsys.readouterr().out
    assert "by step of the horizon" in report
    assert "mase" in report
    assert any(page.iterdir())
    assert "sacreBLEU" not in report  # which tests texts
    assert seq2seq("compare", workplace / "run", workplace / "other", "--format", "markdown") == 0
    assert "against A (in brackets: 100 minus half of the sMAPE)" in capsys.readouterr().out


def test_an_ensemble_and_a_long_horizon(workplace, capsys):
    run, other, source = workplace / "run", workplace / "other", workplace / "co2.csv"
    assert seq2seq("predict", other, source, "--horizon", 40) == 0
    assert len(capsys.readouterr().out.splitlines()) == 41
    assert seq2seq("predict", run, source, "--ensemble", other, "--horizon", 2) == 0
    assert len(capsys.readouterr().out.splitlines()) == 3


def test_inspect_and_features(workplace, capsys):
    run, source = workplace / "run", workplace / "co2.csv"
    assert seq2seq("inspect", run, source, "-o", workplace / "states") == 0
    states = np.load(workplace / "states" / "1" / "states.npz")
    assert states["encoder/layer_0/forward/cell"].shape == (24, 8)  # the context
    target = workplace / "vectors.npz"
    assert seq2seq("predict", run, source, "--features", "all", "-o", target) == 0
    assert np.load(target)["past.layer_0.forward.h"].shape == (1, 8)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("ds,y\n2000-01-01,1\n2000-02-30,2\n", r"t.csv:3: '2000-02-30' is no date"),
        ("ds,y\n2000-01-01,1\n2000-02-01,two\n", r"t.csv:3: 'two' in the column 'y' is no number"),
        ("ds,y\n2000-01-01,1\n2000-02-01,inf\n", r"t.csv:3: "),
        ("ds,y\n2000-01-01,1\n2000-01-01,2\n", r"t.csv:3: "),
        ("ds,value\n2000-01-01,1\n", "'y'"),
        ("ds,y\n2000-01-01,1\n2000-02-01,2\n", "has 2 steps, and the model needs 24"),
        ("", "t.csv"),
    ],
)
def test_a_faulty_file_gives_one_message(workplace, capsys, content, message):
    path = workplace / "t.csv"
    path.write_text(content)
    target = workplace / "never.csv"
    assert seq2seq("predict", workplace / "run", path, "-o", target) == 2
    error = capsys.readouterr().err
    assert message in error
    assert "Traceback" not in error
    assert not target.exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--horizon", "0"], "horizon: must be at least 1"),
        (["--horizon", "25"], "25 steps are asked for"),
        (["--level", "99"], "outside of those that the model learns"),
        (["--level", "100"], "between 0 and 100"),
        (["-o", "missing/forecast.parquet"], "there is no folder"),
        (["-o", "forecast.xlsx"], "forecasts are not written as .xlsx"),
        (["-o", "forecast.parquet", "--format", "csv"], "is Parquet by its name"),
        (["--format", "tsv"], "forecasts are written as csv or jsonl"),
        (["--n-best", "2"], "n_best: has no meaning for Forecasting"),
        (["--decoding", "beam"], "Forecasting runs do not search"),
    ],
)
def test_impossible_requests_are_refused(workplace, capsys, arguments, message):
    assert seq2seq("predict", workplace / "run", workplace / "co2.csv", *arguments) == 2
    assert message in capsys.readouterr().err


def test_a_resumed_run_has_the_same_weights(workplace, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(workplace / "cache"))
    arguments = ["forecasting/co2", *SMALL, "trainer.epochs=3"]
    folder = workplace / "resumed"
    first = [*arguments, f"hydra.run.dir={folder}"]
    with monkeypatch.context() as broken:
        broken.setattr("seq2seq.experiment.evaluate", _interrupted)
        assert seq2seq("train", *first) != 0
    assert seq2seq("train", f"resume={folder}") == 0
    one, other = (
        (workplace / name / "predictions" / "test.jsonl").read_text() for name in ("run", "resumed")
    )
    assert one == other


def _interrupted(*_):
    raise KeyboardInterrupt
