"""Figures of forecasts show the right numbers, with readable dates."""

import numpy as np
import pytest
from matplotlib.dates import num2date
from scipy.stats import norm

from seq2seq.plots.figure import save_figure
from seq2seq.plots.forecasting import (
    MAX_SERIES,
    ForecastExample,
    calibration_figure,
    error_by_step_figure,
    forecast_fan_figure,
    residuals_figure,
)


def example(name="N1", steps=100, horizon=6, **options):
    history = np.arange(steps, dtype=float)
    ahead = np.arange(steps, steps + horizon, dtype=float)
    quantiles = {level: ahead + norm.ppf(level) for level in (0.025, 0.1, 0.9, 0.975)}
    return ForecastExample(name, history, ahead + 1, ahead, quantiles, **options)


def legend_of(figure):
    return [text.get_text() for legend in figure.legends for text in legend.get_texts()]


def test_a_fan(tmp_path):
    figure = forecast_fan_figure([example()])
    [axes] = figure.axes
    history, reference, forecast = axes.lines
    assert history.get_xdata()[[0, -1]].tolist() == [77, 100]  # the last 24 steps
    assert reference.get_xdata().tolist() == [100, 101, 102, 103, 104, 105, 106]
    assert reference.get_ydata().tolist() == [99, 101, 102, 103, 104, 105, 106]
    assert forecast.get_xdata().tolist() == [101, 102, 103, 104, 105, 106]
    wide, narrow = (band.get_paths()[0].vertices for band in axes.collections)
    for band, half in ((wide, 1.959964), (narrow, 1.281552)):
        first = band[band[:, 0] == 101, 1]
        np.testing.assert_allclose([first.min(), first.max()], [100 - half, 100 + half], atol=1e-5)
    assert legend_of(figure)[3:] == ["80% interval", "95% interval"]
    save_figure(figure, tmp_path / "fan.png", heading="run, test")
    assert (tmp_path / "fan.png").stat().st_size > 10_000


def test_dates_of_a_fan(tmp_path):
    months = [f"{2001 + month // 12}-{month % 12 + 1:02d}-01" for month in range(36)]
    hours = [f"2024-03-{1 + hour // 24:02d}T{hour % 24:02d}:00:00" for hour in range(36)]
    figure = forecast_fan_figure(
        [example(steps=30, times=months), example(steps=30, times=hours), example(steps=2)]
    )
    save_figure(figure, tmp_path / "fan.png", dots_per_inch=30)
    dates = figure.axes[0].lines[2].get_xdata()
    assert [str(date)[:7] for date in dates[[0, -1]]] == ["2003-07", "2003-12"]
    for axes in figure.axes[:2]:
        labels = [label.get_text() for label in axes.get_xticklabels()]
        assert 3 <= len(labels) <= 8
    first, *_ = figure.axes[1].get_xlim()
    assert num2date(first).strftime("%Y-%m-%d") in {"2024-02-29", "2024-03-01"}
    assert figure.axes[2].get_xlabel() == "step"


def test_many_series_and_missing_values(tmp_path):
    series = example("$x_1$ \u65e5")
    series.history[-3:] = np.nan
    series.reference[2] = np.nan
    figure = forecast_fan_figure([series] * 9)
    assert len(figure.axes) == MAX_SERIES
    without = ForecastExample("n", np.array([1.0]), np.array([2.0]), np.array([3.0]))
    save_figure(forecast_fan_figure([without]), tmp_path / "one.png", dots_per_inch=30)
    assert legend_of(forecast_fan_figure([without])) == ["history", "reference", "forecast"]
    save_figure(figure, tmp_path / "fan.png", dots_per_inch=30)
    with pytest.raises(ValueError, match="106 are needed, got 3"):
        forecast_fan_figure([example(times=[1, 2, 3])])


def test_errors_by_step(tmp_path):
    tables = {"run": [0.5, 0.7], "naive": [1.0, 1.5], "seasonal_naive": [0.9, 0.9]}
    figure = error_by_step_figure(tables, "MASE")
    [axes] = figure.axes
    drawn = {line.get_label(): line.get_ydata().tolist() for line in axes.lines}
    assert drawn == tables
    assert [text.get_text() for text in axes.get_legend().get_texts()] == list(tables)
    assert axes.lines[-1].get_label() == "run"  # above the others
    assert axes.get_ylim()[0] == 0
    save_figure(figure, tmp_path / "errors.png", dots_per_inch=30)


def test_calibration(tmp_path):
    figure = calibration_figure([0.9, 0.1, 0.5], [0.8, 0.2, 0.5])
    [axes] = figure.axes
    diagonal, line = axes.lines
    np.testing.assert_allclose(diagonal.get_data(), [[0, 1], [0, 1]])
    np.testing.assert_allclose(line.get_data(), [[0.1, 0.5, 0.9], [0.2, 0.5, 0.8]])
    save_figure(figure, tmp_path / "calibration.png", dots_per_inch=30)


def test_residuals(tmp_path):
    residuals = np.random.default_rng(1).normal(size=(2000, 3)) * [1, 2, 3]
    residuals[5, 1] = np.nan
    residuals[:, 2] += 1
    residuals[0, 0] = 1000
    figure = residuals_figure(residuals, scaled=True)
    left, right = figure.axes
    assert sum(bar.get_height() for bar in left.patches) == 5999
    np.testing.assert_allclose(right.lines[0].get_data(), [[1, 2, 3], [0, 0, 1]], atol=0.2)
    band = right.collections[0].get_paths()[0].vertices
    last = band[band[:, 0] == 3, 1]
    np.testing.assert_allclose([last.min(), last.max()], 1 + 3 * norm.ppf([0.05, 0.95]), atol=0.3)
    assert right.get_ylabel() == "residual / scale"
    figure.draw_without_rendering()
    assert right.get_legend().get_window_extent().x0 >= right.get_window_extent().x1  # beside it
    save_figure(figure, tmp_path / "residuals.png", dots_per_inch=30)
    save_figure(residuals_figure(np.ones((2, 1))), tmp_path / "constant.png", dots_per_inch=30)


def test_nothing_to_draw():
    for draw in (
        lambda: forecast_fan_figure([]),
        lambda: error_by_step_figure({"run": []}),
        lambda: calibration_figure([], []),
        lambda: residuals_figure(np.full((2, 2), np.nan)),
    ):
        with pytest.raises(ValueError, match="nothing to draw"):
            draw()
