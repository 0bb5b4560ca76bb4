/** Labelled controls, and forms that send requests. */

import { el, newId } from "./dom.js";

/** Returns a labelled control as `{element, control}`. */
function labelled(label, control, hint) {
  control.id = newId();
  const parts = [el("label", { for: control.id }, label), control];
  if (hint) {
    const note = el("p", { class: "hint", id: newId() }, hint);
    control.setAttribute("aria-describedby", note.id);
    parts.push(note);
  }
  return { element: el("div", { class: "field" }, ...parts), control };
}

/** Returns a text area; Ctrl+Enter sends its form. */
export function textArea(label, value = "", { rows = 3, hint = null, placeholder = null } = {}) {
  const control = el("textarea", { rows, placeholder, spellcheck: "false", dir: "auto" });
  control.value = value;
  control.addEventListener("keydown", (event) => {
    if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) {
      event.preventDefault();
      control.form?.requestSubmit();
    }
  });
  return labelled(label, control, hint);
}

/** Returns a field for a line of text. */
export function textLine(label, value = "", properties = {}) {
  const control = el("input", { type: "text", autocomplete: "off", dir: "auto", ...properties });
  control.value = value;
  return labelled(label, control);
}

/** Returns a field for a number. */
export function numberField(label, value, { min, max, step = 1, hint = null } = {}) {
  const control = el("input", { type: "number", min, max, step, inputmode: "decimal" });
  control.value = value;
  return labelled(label, control, hint);
}

/** Returns a list of choices; `options` are `[value, text]`. */
export function select(label, options, value) {
  const control = el("select", {}, ...options.map(([key, text]) => el("option", { value: key }, text)));
  if (value !== undefined) control.value = value;
  return labelled(label, control);
}

/**
 * Returns radio buttons side by side as `{element, value()}`.
 *
 * @param {string} legend
 * @param {[string, string][]} options values and texts
 * @param {string} value the one that is checked
 * @param {(value: string) => void} onchange
 */
export function choice(legend, options, value, onchange) {
  const name = newId();
  const inputs = options.map(([key]) =>
    el("input", {
      type: "radio", name, value: key, id: newId(), checked: key === value,
      onchange: () => onchange(key),
    }));
  const parts = options.flatMap(([, text], i) => [inputs[i], el("label", { for: inputs[i].id }, text)]);
  const element = el("fieldset", { class: "choice" }, el("legend", {}, legend),
    el("div", { class: "segments" }, ...parts));
  return { element, value: () => inputs.find((input) => input.checked).value };
}

/** Returns a box to check. */
export function checkbox(label, checked) {
  const control = el("input", { type: "checkbox", id: newId() });
  control.checked = checked;
  return {
    element: el("div", { class: "check" }, control, el("label", { for: control.id }, label)),
    control,
  };
}

/** Returns the number in a field, or throws an `Error` that names it. */
export function numberIn({ element, control }) {
  if (control.value.trim() !== "" && control.checkValidity()) return Number(control.value);
  const { min, max } = control;
  const range = [min && `from ${min}`, max && `to ${max}`].filter(Boolean).join(" ");
  throw new Error(`${element.querySelector("label").textContent}: needs a number ${range}`.trim() + ".");
}

/**
 * Returns a form whose button runs an action; its error is one message beside the button.
 *
 * @param {string} label of the button
 * @param {Node[]} children the fields
 * @param {(signal: AbortSignal) => Promise<void>} action A new run aborts the one before.
 */
export function actionForm(label, children, action) {
  const button = el("button", { type: "submit", class: "primary" }, label);
  const error = el("p", { class: "error", role: "alert", hidden: true });
  const form = el("form", { novalidate: true, class: "controls" }, ...children,
    el("div", { class: "actions" }, button, error));
  let running = null;
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    running?.abort();
    const own = new AbortController();
    running = own;
    error.hidden = true;
    form.setAttribute("aria-busy", "true");
    try {
      await action(own.signal);
    } catch (problem) {
      if (problem.name !== "AbortError") {
        error.textContent = problem.message;
        error.hidden = false;
      }
    } finally {
      if (running === own) {
        running = null;
        form.removeAttribute("aria-busy");
      }
    }
  });
  return { form, button, abort: () => running?.abort() };
}
