/** Text that is shown as it is generated. */

import { counted, el } from "./dom.js";
import { actionForm, numberField, numberIn } from "./fields.js";
import { resultsCard } from "./results.js";
import { samplingFields } from "./search.js";

export function generationView(model, api, input) {
  const length = numberField("Maximum length", 200, { min: 1, max: model.maximum_length, hint: "In tokens." });
  const sampling = samplingFields({ greedy: true });
  const results = resultsCard("Text", "The continuation of the prompt appears here.");
  const options = el("div", { class: "row" }, length.element, ...sampling.elements);
  const { form, button, abort } = actionForm("Generate", [options], generate);
  const stop = el("button", { type: "button", disabled: true, onclick: abort }, "Stop");
  button.after(stop);
  form.classList.add("card");

  async function generate(signal) {
    const prompt = await input.value();
    const body = { prompt, length: numberIn(length), ...sampling.options() };
    const made = el("span", { class: "made" });
    const output = el("p", { class: "output", dir: "auto", "aria-busy": "true" },
      el("span", { class: "soft" }, prompt), made);
    results.show("Generating …", output);
    stop.disabled = false;
    let end = "Finished";
    try {
      for await (const text of api.generate(model.name, body, signal)) made.append(text);
    } catch (error) {
      end = error.name === "AbortError" ? "Stopped" : "Failed";
      throw error;
    } finally {
      if (output.isConnected) {
        stop.disabled = true;
        output.removeAttribute("aria-busy");
        results.say(`${end} after ${counted(made.textContent.length, "character")}.`);
      }
    }
  }

  const element = el("div", {
    class: "columns",
    onkeydown: (event) => {
      if (event.key === "Escape") abort();
    },
  }, form, results.element);
  return { element, form, abort };
}
