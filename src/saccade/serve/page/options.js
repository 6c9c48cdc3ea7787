/** The options of the chosen runs as fields: one for all that have it. */

import { element, renew } from "./elements.js";
import { optionsOf } from "./requests.js";

const LABELS = {
  top: { answering: "Answers", captioning: "Captions", search: "Hits" },
  beam: "Beam",
  length_penalty: "Length penalty",
  look: "Look",
  nms: "Overlap at most",
  vote: "Vote from",
  temperature: "Temperature",
};
const HELP = {
  top: "How many to give",
  beam: "Hypotheses kept while searching",
  length_penalty: "Captions are ranked by log-probability over length to this power",
  look: "How hard attention looks: at the mean, at the likeliest region, at one drawn",
  nms: "Leave out boxes that overlap a better one with more than this IoU",
};
// They have fields of their own.
const ELSEWHERE = new Set(["begin", "phrase", "without", "without_regions", "without_words"]);

/** Draw the fields of the runs' options with the values that were chosen; `onChange()` when one is changed. */
export function drawOptions(parent, runs, values, onChange) {
  const fields = new Map();
  for (const run of runs) {
    const own = optionsOf(run, { options: {} });
    for (const [name, option] of Object.entries(run.options)) {
      if (ELSEWHERE.has(name) || fields.has(name)) continue;
      const asked = { ...option, default: own[name] ?? option.default };
      fields.set(name, field(name, asked, labelOf(name, runs), values[name], onChange));
    }
  }
  renew(parent, [...fields.values()]);
}

/** The values that were entered, those left empty out. */
export function enteredOptions(parent) {
  const values = {};
  for (const input of parent.querySelectorAll("[data-option]")) {
    if (input.value !== "") values[input.dataset.option] = input.value;
  }
  return values;
}

function labelOf(name, runs) {
  const label = LABELS[name] ?? name.replaceAll("_", " ");
  if (typeof label === "string") return label;
  const kinds = [...new Set(runs.filter((run) => name in run.options).map((run) => label[run.task] ?? name))];
  return kinds.join(" and ").replace(/ and (\w)/, (_, letter) => ` and ${letter.toLowerCase()}`);
}

function field(name, option, label, value, onChange) {
  const id = `option-${name}`;
  const common = { id, "data-option": name, "data-key": id, title: HELP[name] ?? null, change: onChange };
  const input = option.choices ? choices(option, value, common) : number(option, value, common);
  return element("p", { class: "field" }, element("label", { for: id }, label), " ", input);
}

function number(option, value, common) {
  const whole = Number.isInteger(option.default ?? option.least) && Number.isInteger(option.most ?? 1);
  return element("input", {
    ...common,
    type: "number",
    inputmode: "decimal",
    min: option.least,
    max: option.most,
    step: whole ? 1 : "any",
    placeholder: option.default ?? "",
    value: value ?? "",
  });
}

function choices(option, value, common) {
  const offered = option.choices.filter((choice) => choice !== null);
  return element(
    "select",
    common,
    element("option", { value: "" }, option.default ?? "as trained"),
    offered.map((choice) => element("option", { value: choice, selected: choice === value }, choice)),
  );
}
