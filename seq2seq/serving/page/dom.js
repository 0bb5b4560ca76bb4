/** Makes and changes elements. */

const SVG = "http://www.w3.org/2000/svg";

/**
 * Returns an element.
 *
 * @param {string} tag
 * @param {Object<string, any>} properties `on...` are listeners, `style` an object; true sets an
 *   empty attribute, false and null set none.
 * @param {...(Node|string|null)} children
 */
export function el(tag, properties = {}, ...children) {
  return filled(document.createElement(tag), properties, children);
}

/** Returns an SVG element, like `el`. */
export function svg(tag, properties = {}, ...children) {
  return filled(document.createElementNS(SVG, tag), properties, children);
}

function filled(element, properties, children) {
  for (const [name, value] of Object.entries(properties)) {
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (name === "style") Object.assign(element.style, value);
    else if (value === true) element.setAttribute(name, "");
    else if (value !== false && value != null) element.setAttribute(name, value);
  }
  element.append(...children.filter((child) => child != null));
  return element;
}

let count = 0;

/** Returns an id that no other element has. */
export function newId() {
  count += 1;
  return `id-${count}`;
}

/** Returns a probability as text, such as `93 %`. */
export function percent(value) {
  const number = 100 * value;
  const digits = number >= 99.95 || number === 0 ? 0 : 1;
  return number > 0 && number < 0.05 ? "< 0.1 %" : `${number.toFixed(digits)} %`;
}

/** Returns a number of things, such as `1 label` or `3 labels`. */
export function counted(number, thing) {
  return `${number} ${thing}${number === 1 ? "" : "s"}`;
}

/** Returns a number with some significant digits, and a minus sign. */
export function shortNumber(value, digits = 4) {
  return String(Number(value.toPrecision(digits))).replace("-", "−");
}

/** Returns a token for people: spaces and line breaks are visible, the end token is a word. */
export function shownToken(token) {
  return token === "</s>" ? "end" : token.replaceAll("▁", "␣").replaceAll("\n", "↵");
}

/** Calls `draw` with the width of an element, now and whenever it changes. */
export function onWidth(element, draw) {
  let last = -1;
  new ResizeObserver(([entry]) => {
    const width = Math.floor(entry.contentRect.width);
    if (width === last || width === 0) return;
    last = width;
    draw(width);
  }).observe(element);
}
