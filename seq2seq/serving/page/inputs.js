/** The fields of a model's input. */

import { el } from "./dom.js";
import { numberField, numberIn, textArea } from "./fields.js";

const LABELS = { translation: "Source text", tagging: "Text", classification: "Text", generation: "Prompt" };

/**
 * Returns the fields of an input as `{element, values(), value()}`.
 *
 * `value()` is a promise of what the server takes as one input, `values()` of all of them: there
 * are several only where a table has several series.
 */
export function inputFields(model, api) {
  return model.task === "forecasting" ? tableFields(model, api) : recordFields(model);
}

function recordFields(model) {
  const isOne = model.fields.length === 1;
  const fields = model.fields.map(({ name, kind }) => {
    const example = model.example?.[name] ?? "";
    const label = isOne ? LABELS[model.task] : name;
    if (kind === "number") return { name, kind, ...numberField(label, example, { step: "any" }) };
    const hint = kind === "tokens" ? "Separated by spaces." : null;
    return { name, kind, ...textArea(label, example, { hint, rows: isOne ? 3 : 2 }) };
  });
  const value = async () => {
    const values = fields.map((field) => {
      const { name, kind, control } = field;
      if (kind === "tokens") return [name, control.value.split(/\s+/).filter(Boolean)];
      return [name, kind === "number" ? numberIn(field) : control.value];
    });
    return isOne ? values[0][1] : Object.fromEntries(values);
  };
  return {
    element: el("div", { class: "fields" }, ...fields.map((field) => field.element)),
    value,
    values: async () => [await value()],
  };
}

function tableFields(model, api) {
  const columns = model.fields.map((field) => field.name).join(", ");
  const { element, control } = textArea("Series as CSV", model.example?.csv ?? "", {
    rows: 9,
    hint: `Columns: ${columns}; a row for each step, in order.`,
    placeholder: model.fields.map((field) => field.name).join(","),
  });
  control.classList.add("code");
  control.setAttribute("wrap", "off");
  const example = el("button", {
    type: "button",
    class: "quiet",
    hidden: !model.example,
    onclick: () => {
      control.value = model.example.csv;
      control.focus();
    },
  }, "Use the example");
  const values = async () => (await api.post(model.name, "series", { csv: control.value })).inputs;
  return {
    element: el("div", { class: "fields" }, element, example),
    values,
    value: async () => (await values())[0],
  };
}
