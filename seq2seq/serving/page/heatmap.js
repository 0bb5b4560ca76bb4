/** A heat map of units over tokens, drawn on a canvas. */

import { el, onWidth, shownToken } from "./dom.js";

const MAXIMUM_CELL = 34;
const MINIMUM_CELL = 13;
const START = "<s>";
const LONGEST = 13;
const dark = matchMedia("(prefers-color-scheme: dark)");

/**
 * Returns the map as `{element, scale, isGate, mark(step, row)}`.
 *
 * @param {{name: string, values: number[][], tokens: string[], isGate: boolean,
 *   read: (step: number, row: number) => void}} options `values` are `(steps, units)`; gates are
 *   from 0 to 1, others are drawn from -scale to scale.
 */
export function heatMap({ name, values, tokens, isGate, read }) {
  const rows = values[0].length;
  const scale = isGate ? 1 : Math.max(0.01, ...values.flat().map(Math.abs));
  const cursor = { step: 0, row: 0, shown: false };
  const canvas = el("canvas", {
    tabindex: 0, role: "img",
    "aria-label": `${name}: ${rows} units over ${tokens.length} tokens. The arrow keys read values.`,
  });
  const holder = el("div", { class: "map" }, canvas);
  const labels = tokens.map(shownToken);
  let size = null;

  const draw = () => size && paint(canvas, { values, labels, scale, isGate, cursor, ...size });
  onWidth(holder, (width) => {
    const cell = Math.max(MINIMUM_CELL, Math.min(MAXIMUM_CELL, Math.floor(width / tokens.length)));
    size = { cell, height: rows > 40 ? 4 : rows > 20 ? 7 : 11 };
    draw();
  });
  dark.addEventListener("change", draw);

  const move = (step, row) => read(
    Math.max(0, Math.min(tokens.length - 1, step)),
    Math.max(0, Math.min(rows - 1, row)),
  );
  canvas.addEventListener("pointermove", (event) => {
    const box = canvas.getBoundingClientRect();
    move(Math.floor((event.clientX - box.left) / size.cell), Math.floor((event.clientY - box.top) / size.height));
  });
  canvas.addEventListener("keydown", (event) => {
    const [x, y] = { ArrowRight: [1, 0], ArrowLeft: [-1, 0], ArrowDown: [0, 1], ArrowUp: [0, -1] }[event.key] ?? [];
    if (x === undefined) return;
    event.preventDefault();
    move(cursor.step + x, cursor.row + y);
  });
  const mark = (step, row) => {
    Object.assign(cursor, { step, row, shown: true });
    const [left, width] = [step * size.cell, holder.clientWidth - size.cell];
    if (left < holder.scrollLeft || left > holder.scrollLeft + width) holder.scrollLeft = left - width / 2;
    draw();
  };
  const title = el("figcaption", {}, name);
  return { element: el("figure", { class: "plain" }, title, holder), scale, isGate, mark };
}

function paint(canvas, { values, labels, scale, isGate, cursor, cell, height }) {
  const style = getComputedStyle(canvas);
  const colour = (key) => rgb(style.getPropertyValue(key));
  const [low, middle, high] = ["--low", "--middle", isGate ? "--accent" : "--high"].map(colour);
  const [steps, rows] = [values.length, values[0].length];
  const longest = Math.max(...labels.filter((label) => label !== START).map((label) => [...label].length), 1);
  const isTall = longest > 2;
  const space = isTall ? 14 + 7 * Math.min(longest, LONGEST) : 22;
  const ratio = devicePixelRatio || 1;
  canvas.width = Math.ceil(steps * cell * ratio);
  canvas.height = Math.ceil((rows * height + space) * ratio);
  canvas.style.width = `${steps * cell}px`;
  canvas.style.height = `${rows * height + space}px`;
  const context = canvas.getContext("2d");
  context.scale(ratio, ratio);
  values.forEach((units, step) => units.forEach((value, row) => {
    const share = Math.max(-1, Math.min(1, value / scale));
    context.fillStyle = mixed(middle, share < 0 ? low : high, Math.abs(share));
    context.fillRect(step * cell, row * height, cell - 0.5, height - 0.5);
  }));
  context.fillStyle = style.getPropertyValue("--soft");
  const every = Math.max(1, Math.ceil(13 / cell));
  labels.forEach((label, step) => {
    if (step % every) return;
    context.font = `${label === START && !isTall ? 8 : 12}px ${style.fontFamily}`;
    write(context, label, (step + 0.5) * cell, rows * height + 6, isTall);
  });
  if (cursor.shown) {
    context.strokeStyle = style.getPropertyValue("--text");
    context.lineWidth = 1.5;
    context.strokeRect(cursor.step * cell, cursor.row * height, cell - 0.5, height - 0.5);
  }
}

function write(context, label, x, y, isTall) {
  context.save();
  context.translate(x, y);
  if (isTall) {
    context.rotate(-Math.PI / 2);
    context.textAlign = "right";
    context.textBaseline = "middle";
  } else {
    context.textAlign = "center";
    context.textBaseline = "top";
  }
  context.fillText(label.length > LONGEST ? `${label.slice(0, LONGEST - 1)}…` : label, 0, 0);
  context.restore();
}

/** Returns the colours' meaning. */
export function legend(scale, isGate) {
  const end = isGate ? "1" : scale.toFixed(2);
  return el("p", { class: isGate ? "scale gate" : "scale" },
    isGate ? "0" : `−${end}`, el("span", { "aria-hidden": "true" }), end);
}

function rgb(text) {
  const hex = text.trim().slice(1);
  return [0, 2, 4].map((i) => parseInt(hex.slice(i, i + 2), 16));
}

function mixed(from, to, share) {
  return `rgb(${from.map((part, i) => Math.round(part + (to[i] - part) * share)).join(" ")})`;
}
