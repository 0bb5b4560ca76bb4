/** A chart of a series and its forecast. */

import { checkbox } from "./fields.js";
import { el, onWidth, shortNumber, svg } from "./dom.js";

const HEIGHT = 340;
const MARGIN = { top: 14, right: 14, bottom: 46, left: 58 };
const RECENT = 4;
const LEAST = 40;
const HINT = "Point at the chart to read values; “Numbers” has them as a table.";

/**
 * Returns a figure.
 *
 * @param {{target: string, historySteps: string[], history: (number|null)[], steps: string[],
 *   forecast: number[], bands: {percent: number, low: number[], high: number[]}[]}} series
 */
export function forecastChart(series) {
  const recent = Math.max(LEAST, RECENT * series.steps.length);
  const whole = checkbox("Whole history", false);
  const readout = el("p", { class: "readout" }, HINT);
  const holder = el("div", { class: "chart" });
  let width = 0;
  const draw = () => {
    const count = whole.control.checked ? series.history.length : Math.min(recent, series.history.length);
    holder.replaceChildren(drawn(recentPart(series, count), width, readout));
  };
  whole.control.addEventListener("change", draw);
  onWidth(holder, (now) => {
    width = now;
    draw();
  });
  const isLong = series.history.length > recent;
  return el("figure", { class: "plain" }, holder, legend(series.bands), readout, isLong ? whole.element : null);
}

function recentPart(series, count) {
  const start = series.history.length - count;
  return { ...series, historySteps: series.historySteps.slice(start), history: series.history.slice(start) };
}

function drawn(series, width, readout) {
  const { history, forecast, bands } = series;
  const labels = [...series.historySteps, ...series.steps];
  const all = [...history, ...forecast, ...bands.flatMap(({ low, high }) => [...low, ...high])].filter((v) => v !== null);
  const ticks = niceTicks(Math.min(...all), Math.max(...all), 5);
  const [bottom, top] = [ticks[0], ticks.at(-1)];
  const x = (i) => MARGIN.left + (i / Math.max(1, labels.length - 1)) * (width - MARGIN.left - MARGIN.right);
  const y = (v) => HEIGHT - MARGIN.bottom - ((v - bottom) / (top - bottom || 1)) * (HEIGHT - MARGIN.top - MARGIN.bottom);
  const now = history.length - 1;
  const last = history[now];
  const joined = (values) => (last === null || now < 0 ? [] : [[x(now), y(last)]])
    .concat(values.map((v, i) => [x(now + 1 + i), y(v)]));
  const cursor = svg("line", { class: "cursor", y1: MARGIN.top, y2: HEIGHT - MARGIN.bottom, visibility: "hidden" });
  const picture = svg("svg", {
    viewBox: `0 0 ${width} ${HEIGHT}`, width, height: HEIGHT, role: "img",
    "aria-label": `${series.target}: ${history.length} steps of history and ${forecast.length} of forecast`,
  },
  ...axes(series, labels, ticks, x, y, width),
  ...bands.map(({ low, high }, i) =>
    svg("path", { class: `band band-${bands.length - 1 - i}`, d: `${path(joined(high))}L${points(joined(low).reverse())}Z` })),
  svg("line", { class: "now", x1: x(now), x2: x(now), y1: MARGIN.top, y2: HEIGHT - MARGIN.bottom }),
  svg("path", { class: "history", d: segments(history, x, y) }),
  svg("path", { class: "forecast", d: path(joined(forecast)) }),
  cursor);
  picture.addEventListener("pointermove", (event) => {
    const share = (event.clientX - picture.getBoundingClientRect().left - MARGIN.left) / (width - MARGIN.left - MARGIN.right);
    const i = Math.max(0, Math.min(labels.length - 1, Math.round(share * (labels.length - 1))));
    for (const end of ["x1", "x2"]) cursor.setAttribute(end, x(i));
    cursor.setAttribute("visibility", "visible");
    readout.textContent = describe(series, labels, i);
  });
  picture.addEventListener("pointerleave", () => {
    cursor.setAttribute("visibility", "hidden");
    readout.textContent = HINT;
  });
  return picture;
}

function axes(series, labels, ticks, x, y, width) {
  const count = Math.max(2, Math.min(8, Math.floor((width - MARGIN.left) / 95)));
  const isTick = ticksOf(labels, count);
  const floor = HEIGHT - MARGIN.bottom;
  const text = (name, properties, content) => svg("text", { class: name, ...properties }, content);
  return [
    ...ticks.flatMap((tick) => [
      svg("line", { class: "grid", x1: MARGIN.left, x2: width - MARGIN.right, y1: y(tick), y2: y(tick) }),
      text("tick", { x: MARGIN.left - 8, y: y(tick) + 4, "text-anchor": "end" }, shortNumber(tick, 6)),
    ]),
    ...labels.flatMap((label, i) => (!isTick(label, i) ? [] : [
      svg("line", { class: "grid", x1: x(i), x2: x(i), y1: floor, y2: floor + 4 }),
      text("tick", { x: x(i), y: floor + 18, "text-anchor": "middle" }, tickLabel(label, labels)),
    ])),
    text("axis", { x: (MARGIN.left + width - MARGIN.right) / 2, y: HEIGHT - 6, "text-anchor": "middle" },
      /\D/.test(labels[0]) ? "date" : "step"),
    text("axis", {
      x: 0, y: 0, "text-anchor": "middle",
      transform: `translate(12 ${(MARGIN.top + floor) / 2}) rotate(${series.target.length > 2 ? -90 : 0})`,
    }, series.target),
  ];
}

/** Returns which labels are written: of months those at round distances from January. */
function ticksOf(labels, count) {
  const least = labels.length / count;
  if (labels.every((label) => /^\d{4}-\d\d-01$/.test(label))) {
    const every = [1, 2, 3, 4, 6, 12, 24, 36, 48, 60, 120, 240].find((months) => months >= least) ?? 600;
    return (label) => (12 * Number(label.slice(0, 4)) + Number(label.slice(5, 7)) - 1) % every === 0;
  }
  const every = Math.max(1, Math.ceil(least));
  return (_, i) => i % every === 0;
}

/** Returns a date without the parts that are the same for all, such as the first of each month. */
function tickLabel(label, labels) {
  const isDate = /^\d{4}-\d\d-\d\d$/;
  if (!labels.every((text) => isDate.test(text))) return label;
  if (labels.every((text) => text.endsWith("-01-01"))) return label.slice(0, 4);
  return labels.every((text) => text.endsWith("-01")) ? label.slice(0, 7) : label;
}

function describe({ history, forecast, bands }, labels, i) {
  if (i < history.length) {
    const value = history[i];
    return `${labels[i]}: ${value === null ? "no value" : shortNumber(value, 6)}`;
  }
  const k = i - history.length;
  const ranges = [...bands].reverse().map(({ percent, low, high }) =>
    `${percent} %: ${shortNumber(low[k], 6)} to ${shortNumber(high[k], 6)}`);
  return [`${labels[i]}: forecast ${shortNumber(forecast[k], 6)}`, ...ranges].join("; ");
}

function legend(bands) {
  const item = (name, text) => el("li", {}, el("span", { class: `key ${name}`, "aria-hidden": "true" }), text);
  return el("ul", { class: "legend" }, item("history", "History"), item("forecast", "Forecast"),
    ...[...bands].reverse().map(({ percent }, i) => item(`band band-${i}`, `${percent} % interval`)));
}

const points = (pairs) => pairs.map(([a, b]) => `${a.toFixed(1)} ${b.toFixed(1)}`).join("L");
const path = (pairs) => (pairs.length ? `M${points(pairs)}` : "");

/** Returns the path of values, with gaps where one is missing. */
function segments(values, x, y) {
  let isDown = false;
  return values.map((value, i) => {
    if (value === null) {
      isDown = false;
      return "";
    }
    const command = isDown ? "L" : "M";
    isDown = true;
    return `${command}${x(i).toFixed(1)} ${y(value).toFixed(1)}`;
  }).join("");
}

/** Returns round numbers that span a range. */
function niceTicks(least, most, count) {
  const span = most - least || Math.abs(most) || 1;
  const power = 10 ** Math.floor(Math.log10(span / count));
  const step = [1, 2, 5, 10].map((factor) => factor * power).find((size) => span / size <= count);
  const first = Math.floor(least / step);
  const length = Math.max(1, Math.ceil(most / step) - first) + 1;
  return Array.from({ length }, (_, i) => Number(((first + i) * step).toPrecision(12)));
}
