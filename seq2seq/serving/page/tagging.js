/** Tagged tokens with their confidence. */

import { counted, el, percent } from "./dom.js";
import { actionForm } from "./fields.js";
import { resultsCard } from "./results.js";

const HUES = 8;

export function taggingView(model, api, input) {
  const results = resultsCard("Tags", "The tagged tokens appear here.");
  const { form } = actionForm("Tag", [], async (signal) => {
    const inputs = [await input.value()];
    const { predictions } = await api.post(model.name, "predict", { inputs }, signal);
    showRow(predictions[0]);
  });
  form.classList.add("card");
  const hues = huesOf(model.labels);

  function showRow({ tokens, labels, token_probabilities: probabilities, score }) {
    if (!tokens.length) {
      results.show("There are no tokens.");
      return;
    }
    const items = tokens.map((token, i) =>
      el("li", { class: `tagged ${hues(labels[i])}` },
        el("span", { class: "word", dir: "auto" }, token),
        el("span", { class: "tag" }, labels[i]),
        confidence(probabilities[i])));
    const sequence = `probability of all tags together ${percent(Math.exp(score))}`;
    results.show(
      `${counted(tokens.length, "token")}; ${sequence}.`,
      el("ul", { class: "tagged-tokens", "aria-label": "Tokens with their tags" }, ...items),
      el("p", { class: "hint" }, "Below each token stands its tag, and the probability that the model gives to it."),
    );
  }

  return { element: el("div", { class: "columns" }, form, results.element), form };
}

function confidence(probability) {
  const bar = el("span", { class: "meter", "aria-hidden": "true" });
  bar.style.setProperty("--share", probability);
  return el("span", { class: "confidence" }, bar, percent(probability));
}

/** Returns the class of a tag's colour; tags such as `B-PER` and `I-PER` share one. */
function huesOf(labels) {
  const kind = (label) => label.replace(/^[BIESLU]-/, "");
  const kinds = [...new Set(labels.map(kind))].filter((label) => label !== "O");
  return (label) => (label === "O" ? "outside" : `hue-${kinds.indexOf(kind(label)) % HUES}`);
}
