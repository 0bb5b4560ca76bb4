/** The page: choice of the model, tabs, and the token. */

import { Api } from "./api.js";
import { classificationView } from "./classification.js";
import { counted, el, newId } from "./dom.js";
import { actionForm, select, textLine } from "./fields.js";
import { forecastingView } from "./forecasting.js";
import { generationView } from "./generation.js";
import { inputFields } from "./inputs.js";
import { statesView } from "./states.js";
import { taggingView } from "./tagging.js";
import { translationView } from "./translation.js";

const TASKS = {
  translation: ["Translation", translationView],
  tagging: ["Tagging", taggingView],
  classification: ["Classification", classificationView],
  generation: ["Generation", generationView],
  forecasting: ["Forecasting", forecastingView],
};

const api = new Api();
const main = document.getElementById("main");
let shown = null;

api.onUnauthorized = () => {
  if (!main.querySelector(".token")) askForToken();
};

const begin = () => start().catch((error) => {
  if (error.status !== 401) main.replaceChildren(el("p", { class: "error", role: "alert" }, error.message));
});
addEventListener("hashchange", begin);
document.querySelector(".skip").addEventListener("click", (event) => {
  event.preventDefault(); // the link's fragment is not the name of a model
  main.focus();
});
begin();

async function start() {
  const models = await api.models();
  const [wanted] = decodeURIComponent(location.hash.slice(1)).split("/");
  const first = models.find((model) => model.name === wanted) ?? models[0];
  const picker = select("Model", models.map(({ name }) => [name, name]), first.name);
  picker.element.classList.add("inline");
  picker.control.addEventListener("change", () =>
    show(models.find((model) => model.name === picker.control.value)));
  document.getElementById("models").replaceChildren(picker.element);
  show(first);
}

/** Shows a model: its title, and a tab for its task and one for its states. */
function show(model) {
  const [task, view] = TASKS[model.task];
  const input = inputFields(model, api);
  shown?.abort?.();
  shown = view(model, api, input);
  const panels = [[task, shown], ["States", statesView(model, api, input)]];
  document.title = `${model.name} – seq2seq playground`;
  main.replaceChildren(
    el("div", { class: "title" }, el("h1", {}, model.name), el("p", { class: "soft" }, about(model, task))),
    tabs(panels, input),
  );
  history.replaceState(null, "", `#${encodeURIComponent(model.name)}`);
}

function about(model, task) {
  const parts = [task];
  if (model.task === "translation") parts.push(model.attention ? "with attention" : "without attention");
  if (model.labels.length) parts.push(counted(model.labels.length, "label"));
  if (model.horizon) parts.push(`${counted(model.horizon, "step")} ahead`);
  return parts.join(", ");
}

/** Returns tabs and their panels; the fields of the input are in the one that is selected. */
function tabs(panels, input) {
  const ids = panels.map(() => [newId(), newId()]);
  const buttons = panels.map(([text], i) =>
    el("button", {
      role: "tab", id: ids[i][0], "aria-controls": ids[i][1], type: "button",
      onclick: () => choose(i),
      onkeydown: (event) => {
        const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
        if (step) choose((i + step + panels.length) % panels.length).focus();
      },
    }, text));
  const sections = panels.map(([, view], i) =>
    el("section", { role: "tabpanel", id: ids[i][1], "aria-labelledby": ids[i][0] }, view.element));
  const choose = (chosen) => {
    buttons.forEach((button, i) => {
      button.setAttribute("aria-selected", String(i === chosen));
      button.tabIndex = i === chosen ? 0 : -1;
      sections[i].hidden = i !== chosen;
    });
    panels[chosen][1].form.prepend(input.element);
    return buttons[chosen];
  };
  choose(0);
  return el("div", {}, el("div", { role: "tablist", "aria-label": "Views of the model" }, ...buttons), ...sections);
}

/** Asks for the token of the server; it is kept in memory only. */
function askForToken() {
  const field = textLine("Token", "", { type: "password", required: true });
  const { form } = actionForm("Connect", [
    el("h1", {}, "This server needs a token"),
    el("p", { class: "soft" }, "It is sent with each request, and forgotten when the page is closed."),
    field.element,
  ], async () => {
    api.setToken(field.control.value);
    try {
      await start();
    } catch (error) {
      throw error.status === 401 ? new Error("The server refuses this token.") : error;
    }
  });
  form.classList.add("card", "token");
  main.replaceChildren(form);
  field.control.focus();
}
