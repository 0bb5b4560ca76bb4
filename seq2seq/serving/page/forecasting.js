/** Forecasts of series, as charts with intervals and as tables. */

import { forecastChart } from "./chart.js";
import { counted, el } from "./dom.js";
import { actionForm, checkbox, numberField, numberIn, select } from "./fields.js";
import { resultsCard } from "./results.js";

const SHOWN = [50, 80, 95];

export function forecastingView(model, api, input) {
  const horizon = numberField("Steps ahead", model.horizon, { min: 1, max: model.maximum_horizon });
  const levels = model.levels.map((level) => ({ level, ...checkbox(`${level} %`, SHOWN.includes(level) || model.levels.length <= 3) }));
  const intervals = el("fieldset", { class: "checks", hidden: !levels.length },
    el("legend", {}, "Intervals"), ...levels.map(({ element }) => element));
  const results = resultsCard("Forecast", "The forecast appears here.");
  const { form } = actionForm("Forecast", [horizon.element, intervals], async (signal) => {
    const inputs = await input.values();
    const chosen = levels.filter(({ control }) => control.checked).map(({ level }) => level);
    const body = { inputs, horizon: numberIn(horizon), levels: chosen };
    const { predictions } = await api.post(model.name, "predict", body, signal);
    showRows(predictions, inputs);
  });
  form.classList.add("card");

  function showRows(rows, inputs) {
    const names = rows.map((row) =>
      model.targets.length > 1 ? `${row.unique_id}, ${row.target}` : row.unique_id);
    const slot = el("div", {});
    const show = (i) => {
      const record = inputs[Math.floor(i / model.targets.length)];
      slot.replaceChildren(forecastChart(seriesOf(rows[i], record)), table(rows[i]));
    };
    const picker = select("Series", names.map((name, i) => [String(i), name]), "0");
    picker.control.addEventListener("change", () => show(Number(picker.control.value)));
    const steps = rows[0].prediction.length;
    results.show(
      `${counted(steps, "step")} of ${rows.length === 1 ? `the series ${names[0]}` : `${rows.length} series`}.`,
      rows.length > 1 ? picker.element : null,
      slot,
    );
    show(0);
  }

  return { element: el("div", { class: "columns chart-columns" }, form, results.element), form };
}

/** Returns what a chart draws of a forecast: history, points, and the two ends of intervals. */
function seriesOf(row, record) {
  const history = record[row.target].slice(0, record.start ?? record[row.target].length);
  return {
    target: row.target,
    historySteps: record.ds.slice(0, history.length).map(shortDate),
    history,
    steps: row.ds.map(shortDate),
    forecast: row.prediction,
    bands: intervalsOf(row.quantiles),
  };
}

/** Returns intervals, the widest first, from quantiles by level. */
export function intervalsOf(quantiles) {
  return Object.keys(quantiles)
    .map(Number)
    .filter((level) => level < 0.5)
    .sort((a, b) => a - b)
    .map((level) => {
      const upper = Object.keys(quantiles).find((key) => Math.abs(Number(key) + level - 1) < 1e-9);
      const lower = Object.keys(quantiles).find((key) => Number(key) === level);
      return { percent: Number((100 - 200 * level).toFixed(4)), low: quantiles[lower], high: quantiles[upper] };
    });
}

function shortDate(ds) {
  return String(ds).replace(/[T ]00:00:00(\.0+)?$/, "");
}

function table(row) {
  const bands = intervalsOf(row.quantiles).reverse();
  const largest = Math.max(...row.prediction.map(Math.abs), 1e-9);
  const digits = Math.max(0, Math.min(8, 5 - Math.ceil(Math.log10(largest))));
  const text = (value) => value.toFixed(digits).replace("-", "−");
  const head = ["Step", "Forecast", ...bands.map((band) => `${band.percent} %`)];
  const lines = row.ds.map((ds, i) => [
    shortDate(ds),
    text(row.prediction[i]),
    ...bands.map((band) => `${text(band.low[i])} to ${text(band.high[i])}`),
  ]);
  return el("details", {}, el("summary", {}, "Numbers"),
    el("div", { class: "scroll", tabindex: 0, role: "region", "aria-label": "Numbers of the forecast" },
      el("table", {},
        el("thead", {}, el("tr", {}, ...head.map((title) => el("th", { scope: "col" }, title)))),
        el("tbody", {}, ...lines.map((line) => el("tr", {},
          ...line.map((cell, i) => el(i ? "td" : "th", { scope: i ? null : "row" }, cell))))))));
}
