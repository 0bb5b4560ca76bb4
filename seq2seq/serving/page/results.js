/** The card with the results of a view. */

import { el } from "./dom.js";

/**
 * Returns a card as `{element, show(summary, ...nodes)}`.
 *
 * The summary is one sentence that screen readers announce; `hideSummary` where the results say the
 * same to the eye.
 *
 * @param {string} title
 * @param {string} empty what stands there before the first result
 */
export function resultsCard(title, empty, { hideSummary = false } = {}) {
  const status = el("p", { class: hideSummary ? "hidden" : "summary", role: "status" });
  const body = el("div", { class: "results-body" }, el("p", { class: "empty" }, empty));
  return {
    element: el("section", { class: "card results", "aria-label": title }, el("h2", {}, title), status, body),
    body,
    show(summary, ...nodes) {
      status.textContent = summary;
      body.replaceChildren(...nodes.filter(Boolean));
    },
    say(summary) {
      status.textContent = summary;
    },
  };
}
