/** Attention as lines between source and target tokens. */

import { el, onWidth, shownToken, svg } from "./dom.js";

const LEAST = 0.04;
const GAP = 110;

/**
 * Returns the diagram as `{element, highlight(index)}`.
 *
 * The tokens are rows one above the other where there is room, and columns where not.
 *
 * @param {string[]} sources
 * @param {string[]} targets
 * @param {number[][]} weights of each source for each target
 * @param {(index: number|null) => void} onpoint called with the target under the pointer
 */
export function alignmentDiagram(sources, targets, weights, onpoint) {
  const sourceTokens = sources.map((token) => el("span", {}, shownToken(token)));
  const targetTokens = targets.map((token, i) => el("span", {
    class: token === "</s>" ? "end" : "",
    onmouseenter: () => onpoint(i),
    onmouseleave: () => onpoint(null),
  }, shownToken(token)));
  const lines = svg("svg", { "aria-hidden": "true" });
  const above = el("div", { class: "side source" }, ...sourceTokens);
  const below = el("div", { class: "side target" }, ...targetTokens);
  const picture = el("div", { class: "alignment", "aria-hidden": "true" }, above, lines, below);
  let paths = [];

  function draw(width) {
    picture.classList.remove("down");
    if (Math.max(above.scrollWidth, below.scrollWidth) > width) picture.classList.add("down");
    const isDown = picture.classList.contains("down");
    const origin = lines.getBoundingClientRect();
    const middle = (node) => {
      const box = node.getBoundingClientRect();
      return isDown ? box.top + box.height / 2 - origin.top : box.left + box.width / 2 - origin.left;
    };
    const [from, to] = [sourceTokens.map(middle), targetTokens.map(middle)];
    const length = isDown ? origin.width : GAP;
    paths = targets.flatMap((_, i) => sources.map((_, j) => ({ i, j, weight: weights[i][j] })))
      .filter(({ weight }) => weight >= LEAST)
      .map(({ i, j, weight }) => ({ i, j, path: line(from[j], to[i], length, isDown, weight) }));
    lines.replaceChildren(...paths.map(({ path }) => path));
  }

  function highlight(index) {
    picture.classList.toggle("focused", index !== null);
    for (const { i, path } of paths) path.classList.toggle("on", i === index);
    targetTokens.forEach((token, i) => token.classList.toggle("on", i === index));
    sourceTokens.forEach((token, j) => {
      const weight = index === null ? 0 : weights[index][j];
      token.classList.toggle("on", weight >= LEAST);
      token.style.setProperty("--weight", weight);
    });
  }

  onWidth(picture, draw);
  const note = el("p", { class: "hint" },
    "A line joins a token of the translation to a source token that it attends to; the stronger the line, the larger the weight.");
  return { element: el("figure", { class: "plain" }, picture, note), highlight };
}

function line(from, to, length, isDown, weight) {
  const half = length / 2;
  const points = isDown
    ? `M0 ${from} C${half} ${from} ${half} ${to} ${length} ${to}`
    : `M${from} 0 C${from} ${half} ${to} ${half} ${to} ${length}`;
  return svg("path", { d: points, style: { strokeWidth: 0.75 + 1.75 * weight, opacity: 0.1 + 0.75 * weight } });
}
