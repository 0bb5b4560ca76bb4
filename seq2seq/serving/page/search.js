/** The options of a search for translations. */

import { el } from "./dom.js";
import { choice, numberField, numberIn } from "./fields.js";

/** Returns the fields as `{element, options(), beam()}`; both return fields of a request. */
export function searchFields() {
  const beamSize = numberField("Beam size", 5, { min: 1, max: 20 });
  const nBest = numberField("Hypotheses", 3, { min: 1, max: 20 });
  const samples = numberField("Samples", 3, { min: 1, max: 20 });
  const sampling = samplingFields();
  const groups = {
    greedy: el("div", {}),
    beam: el("div", { class: "row" }, beamSize.element, nBest.element),
    sampling: el("div", { class: "row" }, samples.element, ...sampling.elements),
  };
  const show = (chosen) => {
    for (const [name, group] of Object.entries(groups)) group.hidden = name !== chosen;
  };
  const kinds = [["greedy", "Greedy"], ["beam", "Beam"], ["sampling", "Sampling"]];
  const kind = choice("Search", kinds, "beam", show);
  show("beam");
  const beam = () => {
    const size = numberIn(beamSize);
    return { decoding: "beam", beam_size: size, n_best: Math.min(numberIn(nBest), size) };
  };
  const options = () => {
    if (kind.value() === "beam") return beam();
    if (kind.value() === "greedy") return { decoding: "greedy" };
    return { decoding: "sampling", n_best: numberIn(samples), ...sampling.options() };
  };
  return { element: el("div", { class: "fields" }, kind.element, ...Object.values(groups)), options, beam };
}

/** Returns the options of sampling as `{elements, options()}`. */
export function samplingFields({ greedy = false } = {}) {
  const temperature = numberField("Temperature", greedy ? 0.8 : 1, { min: greedy ? 0 : 0.01, max: 100, step: "any" });
  const topK = numberField("Top k (0: all)", 0, { min: 0 });
  const topP = numberField("Top p", 1, { min: 0.01, max: 1, step: "any" });
  const seed = numberField("Seed", 0, { min: 0, max: 2 ** 31 - 1 });
  const fields = { temperature, top_k: topK, top_p: topP, seed };
  return {
    elements: Object.values(fields).map((field) => field.element),
    options: () => Object.fromEntries(Object.entries(fields).map(([name, field]) => [name, numberIn(field)])),
  };
}
