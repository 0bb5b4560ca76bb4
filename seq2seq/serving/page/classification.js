/** Probabilities of classes, and the words that attention pooling weighs. */

import { el, percent } from "./dom.js";
import { actionForm } from "./fields.js";
import { resultsCard } from "./results.js";

const [LEAST, MOST, VISIBLE] = [3, 8, 0.001];

export function classificationView(model, api, input) {
  const results = resultsCard("Classes", "The probabilities of the classes appear here.", { hideSummary: true });
  const { form } = actionForm("Classify", [], async (signal) => {
    const body = { inputs: [await input.value()], attention: model.attention };
    const { predictions } = await api.post(model.name, "predict", body, signal);
    showRow(predictions[0]);
  });
  form.classList.add("card");

  function showRow({ prediction, probabilities, labels, attention }) {
    const predicted = new Set(model.several_labels ? labels : [prediction]);
    const rows = Object.entries(probabilities).sort((a, b) => b[1] - a[1]);
    const bars = (part) => part.map(([name, value]) => classBar(name, value, predicted.has(name)));
    const probable = rows.filter(([, value]) => value >= VISIBLE).length;
    const first = Math.max(LEAST, Math.min(MOST, probable));
    const rest = rows.slice(first);
    const summary = prediction === "" ? "No class." : `Class: ${[...predicted].join(", ")}`;
    results.show(
      summary,
      el("ul", { class: "bars", "aria-label": "Probabilities" }, ...bars(rows.slice(0, first))),
      rest.length
        ? el("details", {}, el("summary", {}, `${rest.length} more`), el("ul", { class: "bars" }, ...bars(rest)))
        : null,
      ...(attention ? Object.entries(attention).flatMap(weighted) : []),
      attention
        ? el("p", { class: "hint" }, "The stronger the background of a token, the more attention pooling weighs it.")
        : null,
    );
  }

  return { element: el("div", { class: "columns" }, form, results.element), form };
}

function classBar(name, probability, isPredicted) {
  const bar = el("span", { class: "meter", "aria-hidden": "true" });
  bar.style.setProperty("--share", probability);
  return el("li", { class: isPredicted ? "predicted" : "" },
    el("span", { class: "name" }, name, isPredicted ? el("span", { class: "mark" }, " predicted") : null),
    bar,
    el("span", { class: "value" }, percent(probability)));
}

/** Returns the tokens of a text, shaded by their weights. */
function weighted([name, tokens], i, all) {
  const largest = Math.max(...tokens.map(([, weight]) => weight), 1e-9);
  const spans = tokens.map(([token, weight]) => {
    const span = el("li", { title: percent(weight) }, token.replaceAll("▁", " ") || " ",
      el("span", { class: "hidden" }, ` ${percent(weight)}`));
    span.style.setProperty("--weight", weight / largest);
    return span;
  });
  return [
    el("h3", {}, all.length > 1 ? `Attention in ${name}` : "Attention"),
    el("ul", { class: "weighted", dir: "auto", "aria-label": "Tokens with their weights" }, ...spans),
  ];
}
