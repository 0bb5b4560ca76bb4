/** Hidden and cell states and gates over the tokens of an input. */

import { counted, el } from "./dom.js";
import { actionForm, select } from "./fields.js";
import { heatMap, legend } from "./heatmap.js";
import { resultsCard } from "./results.js";

const NAMES = {
  hidden: "Hidden state h", cell: "Cell state c", candidate: "Candidate", input_gate: "Input gate",
  forget_gate: "Forget gate", output_gate: "Output gate", update_gate: "Update gate", reset_gate: "Reset gate",
};

export function statesView(model, api, input) {
  const units = select("Units of each layer", [8, 16, 32, 64, 128].map((n) => [String(n), `${n} that vary most`]), "16");
  const results = resultsCard("States", "Heat maps of hidden states, cell states and gates over the tokens appear here.");
  const { form } = actionForm("Show states", [units.element], async (signal) => {
    const body = { input: await input.value(), units: Number(units.control.value) };
    showStates(await api.post(model.name, "states", body, signal));
  });
  form.classList.add("card");

  function showStates({ prediction, tokens, layers }) {
    const picker = select("Layer", layers.map(({ name }, i) => [String(i), name]), "0");
    const slot = el("div", {});
    const show = (i) => slot.replaceChildren(...layerMaps(layers[i], tokens[layers[i].part]));
    picker.control.addEventListener("change", () => show(Number(picker.control.value)));
    const count = counted(layers.length, "recurrent layer");
    const predicted = model.task === "forecasting" ? "" : `; the prediction is ${shortened(prediction)}`;
    results.show(`${count}${predicted}.`, picker.element, slot);
    show(0);
  }

  return { element: el("div", { class: "columns states-columns" }, form, results.element), form };
}

function shortened(text, length = 60) {
  if (text === "") return "empty";
  return text.length > length ? `“${text.slice(0, length)}…”` : `“${text}”`;
}

/** Returns the heat maps of a layer; the pointer, or the arrow keys, read all of them at once. */
function layerMaps({ units, size, arrays }, tokens) {
  const readout = el("p", { class: "readout", role: "status" }, "Point at a cell, or focus a map and use the arrow keys.");
  const read = (step, row) => {
    for (const map of maps) map.mark(step, row);
    const values = Object.entries(arrays).map(([name, values]) =>
      `${(NAMES[name] ?? name).toLowerCase()} ${values[step][row].toFixed(2).replace("-", "−")}`);
    readout.textContent = `Unit ${units[row]} at “${tokens[step]}”: ${values.join(", ")}`;
  };
  const names = Object.keys(NAMES).filter((name) => name in arrays);
  const maps = [...new Set([...names, ...Object.keys(arrays)])].map((name) => [name, arrays[name]]).map(([name, values]) =>
    heatMap({ name: NAMES[name] ?? name, values, tokens, isGate: name.endsWith("gate"), read }));
  return [
    el("p", { class: "hint" }, `${units.length} of ${size} units, one a row; one column a token.`),
    readout,
    el("div", { class: "maps" }, ...maps.map(({ element, scale, isGate }) =>
      el("div", {}, element, legend(scale, isGate)))),
  ];
}
