"""The forecasting task on small tables: windows, forecasts, scores, intervals, covariates."""

import keras
import numpy as np
import pandas as pd
import pytest
from statsmodels.datasets import co2

from seq2seq.config import build, composed
from seq2seq.errors import UserError
from seq2seq.evaluation.forecasting import forecast_scores
from seq2seq.inference.forecast import forecast_table, series_of
from seq2seq.inference.forecast_sessions import ForecastSession
from seq2seq.inference.predictor import Predictor
from seq2seq.tasks.model_folder import build_task, load_model_folder, save_model_folder
from seq2seq.tasks.prediction_options import PredictionOptions

SMALL = [
    "task=forecasting",
    "tokenizer=none",
    "batching=series",
    "model=direct_forecaster",
    "decoding=none",
    "tracking=none",
    "data=series",
    "data.files=series.csv",
    "data.validation_length=4",
    "data.test_length=6",
    "task.horizon=3",
    "task.context_length=8",
    "task.minimum_context=2",
    "task.season_length=4",
    "task.stride=1",
    "model.encoder.units=6",
    "batching.batch_size=4",
]
MODELS = ("direct_forecaster", "repeat_forecaster", "autoregressive_forecaster")
SMALL_DECODER = ["model.decoder.units=6"]
LENGTHS = {"a": 30, "b": 21, "c": 16}


@pytest.fixture(autouse=True)
def own_cache(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


def table(seed=0):
    """Series of steps, with covariates and a text for each."""
    random = np.random.default_rng(seed)
    parts = []
    for name, length in LENGTHS.items():
        season = np.array([5.0, 0, -5, 2])[np.arange(length) % 4]
        values = 100 + season + random.normal(0, 1, length).cumsum()
        parts.append(
            pd.DataFrame(
                {
                    "unique_id": name,
                    "ds": np.arange(1, length + 1),
                    "y": values.round(3),
                    "sales": random.poisson(4, length),
                    "promo": random.integers(0, 2, length),
                    "rain": random.random(length).round(3),
                    "kind": "shop" if name == "a" else "web",
                }
            )
        )
    return pd.concat(parts)


def prepared(folder, *overrides, frame=None):
    """Returns config, task and an untrained model on a table in that folder."""
    (table() if frame is None else frame).to_csv(folder / "series.csv", index=False)
    config = composed([*SMALL, f"data.directory={folder}", *overrides])
    task = build_task(config)
    data = build(config, "data")
    task.prepare(data, seed=1)
    keras.utils.set_random_seed(2)
    return config, task, build(config, "model", **task.model_arguments()), data


def zeroed(model):
    """Sets the output layer to zeros: the forecast is that of the scaling."""
    model.output_layer.dense.set_weights([0 * w for w in model.output_layer.dense.get_weights()])
    return model


def options(**settings):
    return PredictionOptions(**settings)


def test_batches_are_scaled_windows_of_the_series(tmp_path):
    _, task, _, _ = prepared(tmp_path, "batching.mirror=0.5")
    frame = table()
    seen = []
    store = task.stores["train"]
    for rows in task.batch_order:
        inputs, labels, weights = task.make_batch(store, rows)
        assert weights.all()
        for i, (series, number, mirrored) in enumerate(rows):
            name = "abc"[series]
            values = frame.y[frame.unique_id == name].to_numpy()[: LENGTHS[name] - 10]
            origin = 2 + number  # minimum_context is 2
            history = values[max(0, origin - 8) : origin]
            sign = -1 if mirrored else 1
            scaled = sign * (values - history.mean()) / history.std()
            length = inputs["past_length"][i]
            assert length == len(history)
            expected = scaled[origin - length : origin]
            np.testing.assert_allclose(
                inputs["past"][i, :length, 0], expected, rtol=1e-4, atol=1e-5
            )
            assert not inputs["past"][i, length:].any()
            expected = scaled[origin : origin + 3]
            np.testing.assert_allclose(labels[i, :, 0], expected, rtol=1e-4, atol=1e-4)
            before = [inputs["past"][i, length - 1, 0], *labels[i, :-1, 0]]
            np.testing.assert_allclose(inputs["target"][i, :, 0], before)
            seen.append((name, origin))
    expected = [(n, o) for n, length in LENGTHS.items() for o in range(2, length - 10 - 3 + 1)]
    assert sorted(seen) == expected


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize(
    ("scaling", "baseline"),
    [(["kind=last"], "naive"), (["kind=none", "season=difference"], "seasonal_naive")],
)
def test_a_model_that_returns_zeros_is_the_baseline_of_its_scaling(
    tmp_path, model, scaling, baseline
):
    extra = [] if model == MODELS[0] else SMALL_DECODER
    settings = [f"task.scaling.{setting}" for setting in scaling]
    _, task, forecaster, data = prepared(
        tmp_path, f"model={model}", "task/distribution=point", *settings, *extra
    )
    evaluation = task.evaluate(zeroed(forecaster), data.records("test"))
    lines = {line["method"]: line for line in evaluation.tables["baselines"]}
    for score in ("mae", "rmse", "smape", "mase", "rmsse"):
        assert evaluation.scores[score] == pytest.approx(lines[baseline][score], rel=1e-6)
    # Three series, origins from the start of the test part (its last 6 steps) on, horizon 3.
    assert len(evaluation.rows) == 3 * 4
    assert [row["ds"][0] for row in evaluation.rows[:4]] == [25, 26, 27, 28]


def test_history_before_the_context_does_not_change_a_forecast(tmp_path):
    _, task, model, _ = prepared(tmp_path)
    frame = table()
    long = task.predict(model, series_of(task, frame))
    short = task.predict(model, series_of(task, frame.groupby("unique_id").tail(8)))
    for one, other in zip(long, short, strict=True):
        np.testing.assert_allclose(one["prediction"], other["prediction"], rtol=1e-6)
        assert one["ds"] == other["ds"]


def test_a_batch_of_many_series_gives_the_forecasts_of_each_alone(tmp_path):
    _, task, model, _ = prepared(tmp_path, "model=autoregressive_forecaster", *SMALL_DECODER)
    records = series_of(task, table())
    request = options(levels=(80, 95), horizon=5)
    together = task.predict(model, records, request)
    for record, row in zip(records, together, strict=True):
        [alone] = task.predict(model, [record], request)
        np.testing.assert_allclose(alone["prediction"], row["prediction"], rtol=1e-5)
        for level, values in row["quantiles"].items():
            np.testing.assert_allclose(alone["quantiles"][level], values, rtol=1e-4)


def test_quantiles_of_a_feedback_model_are_those_of_its_sample_paths(tmp_path):
    _, task, model, _ = prepared(tmp_path, "model=autoregressive_forecaster", *SMALL_DECODER)
    records = series_of(task, table())
    paths = task.sample_paths(model, records, 5)
    assert paths.shape == (100, 3, 5, 1)
    rows = task.predict(model, records, options(levels=(80,), horizon=5))
    for i, row in enumerate(rows):
        for level in (0.1, 0.5, 0.9):
            expected = np.quantile(paths[:, i, :, 0], level, axis=0)
            np.testing.assert_allclose(row["quantiles"][str(level)], expected, rtol=1e-5)


def test_a_model_of_all_steps_at_once_has_no_longer_horizon_and_no_paths(tmp_path):
    _, task, model, _ = prepared(tmp_path)
    records = series_of(task, table())
    long, short = (task.predict(model, records, options(horizon=h)) for h in (3, 2))
    assert [row["prediction"][:2] for row in long] == [row["prediction"] for row in short]
    with pytest.raises(UserError, match=r"horizon: 4 steps .*model=autoregressive_forecaster"):
        task.predict(model, records, options(horizon=4))
    with pytest.raises(UserError, match="horizon: must be at least 1"):
        task.predict(model, records, options(horizon=0))
    with pytest.raises(UserError, match="samples: the model forecasts each step by itself"):
        task.sample_paths(model, records)


@pytest.mark.parametrize("distribution", ["gaussian", "student_t", "quantiles"])
def test_intervals_contain_each_other_and_the_median(tmp_path, distribution):
    _, task, model, data = prepared(tmp_path, f"task/distribution={distribution}")
    evaluation = task.evaluate(model, data.records("test"))
    assert {"crps", "coverage_80", "width_95"} <= set(evaluation.scores)
    for row in evaluation.rows:
        quantiles = np.array([row["quantiles"][str(x)] for x in (0.025, 0.1, 0.5, 0.9, 0.975)])
        assert (np.diff(quantiles, axis=0) > 0).all()


def test_counts_are_forecast_as_counts(tmp_path):
    settings = ["task/distribution=negative_binomial", "task.scaling.kind=mean"]
    _, task, model, _ = prepared(tmp_path, "task.targets=[sales]", *settings)
    rows = task.predict(model, series_of(task, table()), options(levels=(80,)))
    for row in rows:
        for values in row["quantiles"].values():
            np.testing.assert_allclose(values, np.round(values), atol=1e-4)
    with pytest.raises(UserError, match=r"task\.scaling: counts need kind=mean"):
        prepared(tmp_path, "task/distribution=negative_binomial")
    with pytest.raises(UserError, match=r"batching\.mirror: changes the sign"):
        prepared(tmp_path, *settings, "batching.mirror=0.3")


def test_conformal_intervals_cover_the_validation_split(tmp_path):
    settings = ["task.conformal=split", "task.levels=[80]", "data.validation_length=8"]
    _, task, model, data = prepared(tmp_path, *settings, "task/distribution=point")
    with pytest.raises(UserError, match="forecasts points"):
        task.predict(model, series_of(task, table()), options(levels=(80,)))
    task.calibrate(model)
    rows = task.evaluate(model, data.records("validation")).rows
    inside = [
        low <= y <= high
        for row in rows
        for low, y, high in zip(
            row["quantiles"]["0.1"], row["reference"], row["quantiles"]["0.9"], strict=True
        )
    ]
    assert 0.8 <= np.mean(inside) <= 0.95  # (n + 1) * 0.8 of n, and the steps by themselves
    with pytest.raises(UserError, match="calibrated for 80 percent"):
        task.predict(model, series_of(task, table()), options(levels=(95,)))


def test_adaptive_intervals_widen_after_misses(tmp_path):
    """A series that becomes wild: its own errors decide, beside those of the validation split."""
    settings = ["task.conformal=adaptive", "data.validation_length=10", "task/distribution=point"]
    config, task, model, _ = prepared(tmp_path, *settings, "task.levels=[80]")
    task.calibrate(zeroed(model))
    steps = np.arange(60)
    random = np.random.default_rng(0)
    # Each window is scaled by its own spread: a wild end after a calm history is a surprise.
    calm = 100 + np.sin(steps) + random.normal(0, 0.01, 60)
    wild = calm + np.where(steps >= 40, random.normal(0, 20, 60).cumsum(), 0)
    frame = pd.concat(
        pd.DataFrame({"unique_id": name, "ds": steps + 1, "y": values})
        for name, values in (("calm", calm), ("wild", wild))
    )
    request = options(levels=(80,))
    calm_row, wild_row = task.predict(model, series_of(task, frame), request)

    def width(row):
        return np.subtract(row["quantiles"]["0.9"], row["quantiles"]["0.1"])

    assert (width(calm_row) > 0).all()
    assert (width(wild_row) > 5 * width(calm_row)).all()
    save_model_folder(tmp_path / "model", task, model, config)
    other_task, other = load_model_folder(tmp_path)
    assert other_task.predict(other, series_of(other_task, frame), request) == [calm_row, wild_row]


def test_conformal_intervals_need_enough_windows(tmp_path):
    with pytest.raises(UserError, match=r"task\.conformal: intervals of 80, 95 percent need 39"):
        prepared(tmp_path, "task.conformal=split", "task.stride=4")


COVARIATES = ["task.known=[promo]", "task.past=[rain]", "task.static=[kind]"]


def future_rows(frame, steps):
    """Returns the table with further rows that have no target, but what is known in advance."""
    rows = [
        {
            "unique_id": name,
            "ds": length + i,
            "promo": i % 2,
            "kind": "shop" if name == "a" else "web",
        }
        for name, length in LENGTHS.items()
        for i in range(1, steps + 1)
    ]
    return pd.concat([frame, pd.DataFrame(rows)]).sort_values(["unique_id", "ds"])


@pytest.mark.parametrize("model", MODELS)
def test_covariates_change_the_forecast_where_they_are_known(tmp_path, model):
    extra = [] if model == MODELS[0] else SMALL_DECODER
    _, task, forecaster, _ = prepared(tmp_path, f"model={model}", *COVARIATES, *extra)
    frame = future_rows(table(), 3)
    first = task.predict(forecaster, series_of(task, frame))
    changed = frame.copy()
    changed.loc[(changed.unique_id == "b") & changed.y.isna(), "promo"] = 1
    second = task.predict(forecaster, series_of(task, changed))
    assert first[0]["prediction"] == second[0]["prediction"]
    assert first[1]["prediction"] != second[1]["prediction"]
    other_past = frame.copy()
    other_past.loc[other_past.unique_id == "c", "rain"] *= 3
    third = task.predict(forecaster, series_of(task, other_past))
    assert first[1]["prediction"] == third[1]["prediction"]
    assert first[2]["prediction"] != third[2]["prediction"]


@pytest.mark.parametrize("model", MODELS)
def test_a_shorter_horizon_needs_fewer_known_steps(tmp_path, model):
    extra = [] if model == MODELS[0] else SMALL_DECODER
    _, task, forecaster, _ = prepared(tmp_path, f"model={model}", *COVARIATES, *extra)
    rows = task.predict(forecaster, series_of(task, future_rows(table(), 2)), options(horizon=2))
    assert [len(row["prediction"]) for row in rows] == [2, 2, 2]


def test_covariates_that_end_too_early_are_refused(tmp_path):
    _, task, model, _ = prepared(tmp_path, *COVARIATES)
    with pytest.raises(UserError, match=r"'promo', known in advance, ends 1 steps after .* 3 are"):
        task.predict(model, series_of(task, future_rows(table(), 1)))


def test_an_unknown_series_has_no_embedding(tmp_path):
    _, task, model, _ = prepared(tmp_path, "task.series_embedding=true")
    frame = table()
    assert len(task.predict(model, series_of(task, frame))) == 3
    frame["unique_id"] = frame["unique_id"].replace("b", "z")
    with pytest.raises(UserError, match=r"series 'z': .* it knows a, b, c"):
        task.predict(model, series_of(task, frame))


def test_two_targets_are_forecast_together(tmp_path):
    _, task, model, data = prepared(tmp_path, "task.targets=[y,sales]")
    evaluation = task.evaluate(model, data.records("test"))
    assert {row["target"] for row in evaluation.rows} == {"y", "sales"}
    forecast = forecast_table(task, task.predict(model, series_of(task, table())))
    assert list(forecast.columns) == ["unique_id", "ds", "y", "sales"]
    assert forecast.ds.tolist() == [31, 32, 33, 22, 23, 24, 17, 18, 19]


def test_pictures_of_several_origins_are_told_apart(tmp_path):
    _, task, model, data = prepared(tmp_path)
    figure = task.figures(model, task.evaluate(model, data.records("test")))["forecasts"]
    titles = [axes.get_title(loc="left") for axes in figure.axes]
    assert titles[0] == "a after 24"  # the test part is the last 6 of 30 steps
    assert len({*titles}) == len(titles) == 6


def test_missing_values_are_neither_trained_on_nor_scored(tmp_path):
    frame = table()
    frame.loc[frame.ds.isin([3, 12, 28]), "y"] = np.nan
    _, task, model, data = prepared(tmp_path, "data.missing=mask", frame=frame)
    assert task.has_missing
    evaluation = task.evaluate(model, data.records("test"))
    assert any(None in row["reference"] for row in evaluation.rows)
    assert np.isfinite(list(evaluation.scores.values())).all()
    store = task.stores["train"]
    weights = [task.make_batch(store, rows)[2] for rows in task.batch_order]
    assert any((part == 0).any() for part in weights)
    assert all(part.any(axis=(1, 2)).all() for part in weights)


def test_a_saved_model_forecasts_the_same(tmp_path):
    settings = [*COVARIATES, "task.conformal=split", "task.levels=[80]"]
    settings.append("data.validation_length=6")
    config, task, model, _ = prepared(tmp_path, *settings)
    task.calibrate(model)
    save_model_folder(tmp_path / "model", task, model, config)
    other_task, other = load_model_folder(tmp_path)
    frame = future_rows(table(), 3)
    request = options(levels=(80,))
    first = task.predict(model, series_of(task, frame), request)
    assert first == other_task.predict(other, series_of(other_task, frame), request)


def test_an_ensemble_is_the_mean_of_its_members(tmp_path):
    config, task, model, _ = prepared(tmp_path)
    other = build(config, "model", **task.model_arguments())
    records = series_of(task, table())
    request = options(levels=(80,))
    members = [task.predict(m, records, request) for m in (model, other)]
    together = task.predict((model, other), records, request)
    for one, two, mean in zip(*members, together, strict=True):
        expected = (np.array(one["prediction"]) + two["prediction"]) / 2
        np.testing.assert_allclose(mean["prediction"], expected)
        expected = (np.array(one["quantiles"]["0.1"]) + two["quantiles"]["0.1"]) / 2
        np.testing.assert_allclose(mean["quantiles"]["0.1"], expected)


def test_runs_of_different_horizons_are_no_ensemble(tmp_path):
    _, task, _, _ = prepared(tmp_path)
    _, other, _, _ = prepared(tmp_path, "task.horizon=2")
    with pytest.raises(UserError, match=r"same task\.horizon; they have 3 and 2"):
        task.check_ensemble([other])


def test_dates_continue_and_make_calendar_features(tmp_path):
    values = co2.load_pandas().data["co2"].interpolate().resample("MS").mean()[:60]
    frame = values.rename("y").rename_axis("ds").reset_index()
    _, task, model, _ = prepared(
        tmp_path,
        "task.calendar=[month]",
        "data.columns.unique_id=null",
        frame=frame,
    )
    forecast = forecast_table(task, task.predict(model, series_of(task, frame)))
    assert forecast.ds.tolist() == ["1963-03-01", "1963-04-01", "1963-05-01"]
    inputs = task.make_batch(task.stores["train"], np.array([[0, 0, 0]]))[0]
    months = [5, 6, 7]  # the history ends with April 1958
    angles = 2 * np.pi * (np.array(months) - 1) / 12
    np.testing.assert_allclose(
        inputs["future"][0], np.stack([np.sin(angles), np.cos(angles)], 1), atol=1e-6
    )


def test_series_too_short_for_a_window_are_counted(tmp_path, caplog):
    caplog.set_level("INFO")
    frame = table()
    prepared(tmp_path, frame=frame[(frame.unique_id != "c") | (frame.ds <= 14)])
    assert "1 too short for a window (c)" in caplog.text
    with pytest.raises(
        UserError, match=r"No series is long enough .* the longest of 3 series has 20"
    ):
        prepared(tmp_path, "task.horizon=20", "data.validation_length=4")


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("task.horizon=0", r"task\.horizon: must be a whole number of at least 1"),
        ("task.minimum_context=9", r"task\.minimum_context: 9 steps"),
        ("task.calendar=[moon]", r"task\.calendar: must be some of month"),
        ("task.baselines=[prophet]", r"task\.baselines: must be some of naive"),
        ("task.known=promo", r"task\.known: must be a list, 'task\.known=\[promo\]'"),
        ("task.conformal=maybe", r"task\.conformal: must be one of none, split, adaptive"),
        ("task.levels=[120]", "levels: must be between 0 and 100 percent"),
        ("task.scaling.kind=big", r"task\.scaling\.kind: must be"),
        ("data.test_length=2", "A split of 2 steps has no room for a forecast of 3"),
        ("task.distribution.loss=smape", r"task\.distribution\.loss=smape: needs a scaling of log"),
    ],
)
def test_impossible_settings_are_refused(tmp_path, override, message):
    with pytest.raises(UserError, match=message):
        prepared(tmp_path, override)


def test_a_value_without_a_logarithm_is_named_with_its_series(tmp_path):
    _, task, model, _ = prepared(tmp_path, "task.scaling.log=true")
    frame = table()
    frame.loc[(frame.unique_id == "b") & (frame.ds == 20), "y"] = -1
    with pytest.raises(UserError, match=r"row 31 \(b\) has the value -1, which has no logarithm"):
        task.predict(model, series_of(task, frame))
    frame.loc[frame.ds == 1, "y"] = -1  # before the context
    frame = frame[frame.unique_id == "a"]
    assert len(task.predict(model, series_of(task, frame))) == 1


def test_the_scores_are_those_of_the_rows(tmp_path):
    _, task, model, data = prepared(tmp_path)
    evaluation = task.evaluate(model, data.records("test"))
    assert forecast_scores(evaluation.rows).items() <= evaluation.scores.items()
    assert task.validation_scores(model, data.records("test")) == forecast_scores(evaluation.rows)
    assert set(evaluation.scores) - {"owa"} == set(task.score_names)


SAMPLED = ["model=autoregressive_forecaster", *SMALL_DECODER]


@pytest.mark.parametrize("settings", [[], ["task/scaling=statistical"], SAMPLED])
def test_a_session_forecasts_as_from_the_complete_history(tmp_path, settings):
    _, task, model, _ = prepared(tmp_path, *settings)
    session = ForecastSession(Predictor(task, model))
    frame = table()
    for value in frame.y[frame.unique_id == "a"]:
        session.feed({"a": value})
    session.feed({"b": frame.y[frame.unique_id == "b"].to_numpy()})
    expected = task.predict(model, series_of(task, frame), options(levels=(80,)))
    for row, other in zip(session.forecast(levels=(80,)), expected, strict=False):
        np.testing.assert_allclose(row["prediction"], other["prediction"], rtol=1e-6)
        np.testing.assert_allclose(row["quantiles"]["0.9"], other["quantiles"]["0.9"], rtol=1e-6)
        assert row["ds"] == other["ds"]
    assert session.series == ["a", "b"]
    session.forget("a")
    with pytest.raises(UserError, match="series 'a': has no values yet"):
        session.forecast(["a"])


def test_a_session_refuses_what_is_no_number_and_keeps_its_state(tmp_path):
    _, task, model, _ = prepared(tmp_path)
    session = ForecastSession(Predictor(task, model))
    session.feed({"a": [1.0, 2.0, 4.0]})
    before = session.forecast()
    for wrong in ("three", [[1.0, 2.0]], [np.inf], None):
        with pytest.raises(UserError, match=r"series '[ab]'"):
            session.feed({"b": [1.0], "a": wrong})
    assert session.series == ["a"]
    assert session.forecast() == before


def test_a_session_has_no_covariates(tmp_path):
    _, task, model, _ = prepared(tmp_path, *COVARIATES)
    with pytest.raises(UserError, match="reads promo, rain, kind beside the values"):
        ForecastSession(Predictor(task, model))
