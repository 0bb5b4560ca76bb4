/** Tokens of a text as buttons, and what they attend to. */

import { el, percent, shownToken } from "./dom.js";

/**
 * Returns the parts of a text that are its tokens, as `{text, start, end, index}`.
 *
 * Where the tokens do not add up to the text, such as bytes of a character, its words are the parts
 * and have no `index`.
 */
export function units(text, tokens) {
  const parts = [];
  let position = 0;
  const own = tokens.at(-1) === "</s>" ? tokens.slice(0, -1) : tokens;
  for (const [index, token] of own.entries()) {
    const piece = token.replaceAll("▁", " ");
    if (text.startsWith(` ${piece}`, position) && position > 0 && !text.startsWith(piece, position)) position += 1;
    if (!text.startsWith(piece, position)) return words(text);
    parts.push({ text: piece, start: position, end: position + piece.length, index });
    position += piece.length;
  }
  return position === text.length ? parts : words(text);
}

function words(text) {
  return [...text.matchAll(/\S+/g)].map((match) => (
    { text: match[0], start: match.index, end: match.index + match[0].length, index: null }));
}

/** Returns the sources with the largest weights as text. */
export function attended(sources, weights, count = 3) {
  return sources
    .map((token, i) => [token, weights[i]])
    .sort((a, b) => b[1] - a[1])
    .filter(([, weight]) => weight >= 0.05)
    .slice(0, count)
    .map(([token, weight]) => `“${shownToken(token)}” ${percent(weight)}`)
    .join(", ");
}

/**
 * Returns the tokens of a text as buttons, of which the arrow keys focus the next one.
 *
 * @param {object[]} parts see `units`
 * @param {{label: string, scores: number[], forced: number, onread: Function, onchoose: Function}}
 *   options `scores` are log-probabilities by index; the first `forced` characters were given.
 */
export function tokenRow(parts, { label, scores, forced, onread, onchoose }) {
  const buttons = parts.map((part, i) => {
    const probability = part.index === null ? 1 : Math.exp(scores[part.index]);
    const button = el("button", {
      type: "button",
      class: part.end <= forced ? "token forced" : "token",
      tabindex: i === 0 ? 0 : -1,
      "aria-label": part.index === null ? part.text : `${part.text}, probability ${percent(probability)}`,
      onclick: () => onchoose(part),
      onfocus: () => onread(part.index),
      onblur: () => onread(null),
      onmouseenter: () => onread(part.index),
      onmouseleave: () => onread(null),
    }, part.text);
    button.style.setProperty("--doubt", Math.min(1, 1 - probability).toFixed(3));
    return button;
  });
  const focusOn = (i) => {
    const chosen = Math.max(0, Math.min(buttons.length - 1, i));
    buttons.forEach((button, k) => { button.tabIndex = k === chosen ? 0 : -1; });
    buttons[chosen].focus();
  };
  const gaps = parts.map((part, i) => (i > 0 && part.start > parts[i - 1].end ? " " : null));
  return el("div", {
    class: "tokens", role: "toolbar", "aria-label": label, dir: "auto",
    onkeydown: (event) => {
      const now = buttons.indexOf(document.activeElement);
      const next = { ArrowRight: now + 1, ArrowLeft: now - 1, Home: 0, End: buttons.length - 1 }[event.key];
      if (next === undefined || now < 0) return;
      event.preventDefault();
      focusOn(next);
    },
  }, ...buttons.flatMap((button, i) => [gaps[i], button]).filter(Boolean));
}
