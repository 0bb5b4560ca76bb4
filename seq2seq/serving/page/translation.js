/** Translations: hypotheses, attention, and translations with a given prefix. */

import { alignmentDiagram } from "./alignment.js";
import { el, newId, percent } from "./dom.js";
import { actionForm } from "./fields.js";
import { resultsCard } from "./results.js";
import { searchFields } from "./search.js";
import { attended, tokenRow, units } from "./tokens.js";

export function translationView(model, api, input) {
  const search = searchFields();
  const results = resultsCard("Translation", "The translation appears here.", { hideSummary: true });
  const { form } = actionForm("Translate", [search.element], (signal) => translate("", signal));
  const view = { element: el("div", { class: "columns" }, form, results.element), form };
  form.classList.add("card");

  async function translate(prefix, signal) {
    const source = await input.value();
    const options = prefix ? search.beam() : search.options();
    const body = {
      inputs: [prefix ? { source, prefix } : source],
      token_scores: true,
      alignments: model.attention,
      ...options,
    };
    const { predictions } = await api.post(model.name, "predict", body, signal);
    showRow(predictions[0], prefix);
  }

  function showRow(row, prefix) {
    const hypotheses = row.hypotheses ?? [row];
    const detail = el("div", { class: "detail" });
    const choose = (chosen) => {
      buttons.forEach((button, i) => button.setAttribute("aria-pressed", String(i === chosen)));
      detail.replaceChildren(...hypothesisDetail(hypotheses[chosen], prefix));
    };
    const buttons = hypotheses.map((hypothesis, i) => hypothesisButton(hypothesis, () => choose(i)));
    const list = el("ol", { class: "hypotheses", "aria-label": "Hypotheses" },
      ...buttons.map((button) => el("li", {}, button)));
    results.show(
      row.prediction === "" ? "The translation is empty." : `Translated: ${row.prediction}`,
      prefix ? prefixNote(prefix) : null,
      detail,
      hypotheses.length > 1 ? el("h3", {}, `${hypotheses.length} hypotheses`) : null,
      hypotheses.length > 1 ? list : null,
    );
    choose(0);
  }

  function prefixNote(prefix) {
    const remove = () => form.requestSubmit();
    return el("p", { class: "chip" }, `Begins with “${prefix}”`,
      el("button", { type: "button", class: "quiet", onclick: remove }, "Remove"));
  }

  function hypothesisDetail(hypothesis, prefix) {
    const parts = units(hypothesis.prediction, hypothesis.target_tokens);
    const readout = el("p", { class: "readout", id: newId() }, hint(parts));
    const slot = el("div", {});
    const diagram = model.attention && hypothesis.source_tokens.length
      ? alignmentDiagram(hypothesis.source_tokens, hypothesis.target_tokens, hypothesis.alignments,
        (index) => read(index))
      : null;
    const read = (index) => {
      readout.textContent = index === null ? hint(parts) : describe(hypothesis, index);
      diagram?.highlight(index);
    };
    const row = tokenRow(parts, {
      label: "Tokens of the translation; choose one to begin the next translation with the text up to it",
      scores: hypothesis.token_scores,
      forced: prefix.length,
      onread: read,
      onchoose: (unit) => {
        const editor = prefixEditor(hypothesis.prediction.slice(0, unit.end), unit, slot);
        slot.replaceChildren(editor.form);
        editor.focus();
      },
    });
    row.setAttribute("aria-describedby", readout.id);
    return [row, readout, slot, diagram ? el("h3", {}, "Attention") : null, diagram?.element]
      .filter(Boolean);
  }

  /** Returns the form that changes the beginning of the translation. */
  function prefixEditor(prefix, unit, slot) {
    const field = el("input", { type: "text", id: newId(), autocomplete: "off", dir: "auto" });
    field.value = prefix;
    const cancel = el("button", { type: "button", class: "quiet", onclick: () => slot.replaceChildren() }, "Cancel");
    const { form: editor, button } = actionForm("Continue", [
      el("div", { class: "field" }, el("label", { for: field.id }, "Begin the translation with"), field),
    ], (signal) => translate(field.value, signal));
    button.after(cancel);
    editor.classList.add("prefix");
    const focus = () => {
      field.focus();
      field.setSelectionRange(unit.start, unit.end);
    };
    return { form: editor, focus };
  }

  return view;
}

function hypothesisButton({ prediction, score }, onclick) {
  const bar = el("span", { class: "bar", "aria-hidden": "true" });
  bar.style.setProperty("--share", Math.exp(score));
  return el("button", { type: "button", class: "hypothesis", onclick },
    el("span", { class: "text", dir: "auto" }, prediction || "(empty)"),
    el("span", { class: "score" }, percent(Math.exp(score)), " ",
      el("span", { class: "soft" }, `log-probability ${score.toFixed(2).replace("-", "−")}`)),
    bar);
}

function hint(parts) {
  if (!parts.length) return "";
  return "Choose a token to keep the text up to it, or to change it. A red line is below improbable tokens.";
}

/** Returns what there is to know of a target token, as a sentence. */
function describe({ target_tokens, token_scores, source_tokens, alignments }, index) {
  const probability = percent(Math.exp(token_scores[index]));
  const sources = alignments ? attended(source_tokens, alignments[index]) : "";
  return `“${target_tokens[index]}”: probability ${probability}${sources && `; attends to ${sources}`}.`;
}
