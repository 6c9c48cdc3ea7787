/** What is asked: the runs, the image, the text, phrases and options, as fields that show and change the state. */

import { counted } from "/viewer/numbers.js";
import { element, renew } from "./elements.js";
import { drawOptions, enteredOptions } from "./options.js";
import { Phrases } from "./phrases.js";
import { pictureOf } from "./picture.js";
import { oneLine } from "./state.js";
import { VERBS } from "./tasks.js";

const at = (id) => document.getElementById(id);
const FEW = 80;
const unique = (values) => [...new Set(values)];

/** The fields. `onAsk()` when an answer is wanted, `onRuns(names)` when others are chosen. */
export class Inputs {
  constructor(choices, { onAsk, onRuns }) {
    this.choices = choices;
    this.text = at("text");
    this.form = at("inputs");
    this.phrases = new Phrases(at("phrases"), () => this.complete() && onAsk());
    this.fill(at("run"), choices);
    at("beside").append(...grouped(choices));
    for (const id of ["run", "beside"])
      at(id).addEventListener("change", () => onRuns([at("run").value, at("beside").value].filter(Boolean)));
    at("ask").disabled = false;
    this.form.addEventListener("submit", (event) => {
      event.preventDefault();
      onAsk();
    });
    this.text.addEventListener("keydown", (event) => {
      const line = event.shiftKey && this.severalLines;
      if (event.key !== "Enter" || line || event.isComposing) return;
      event.preventDefault();
      onAsk();
    });
    this.text.addEventListener("input", () => this.phrases.show(oneLine(this.text.value), this.phrases.value));
    this.onOptions = () => this.complete() && onAsk();
  }

  fill(select, choices) {
    renew(select, grouped(choices));
  }

  /** Whether a text is there where one is read. */
  complete() {
    return !this.reads.length || oneLine(this.text.value) !== "";
  }

  /** What stands in the fields. */
  get entered() {
    const text = this.reads.length ? this.text.value.trim() : this.kept;
    // Those of another sentence are not those of this one; what this one does not have is told by the server.
    const phrases = text === this.kept ? this.phrases.value : this.phrases.found;
    return {
      text,
      phrases: at("phrases").hidden ? [] : phrases,
      options: { ...this.others, ...enteredOptions(at("options")) },
      withImage: at("with-image").checked,
    };
  }

  /** Show a state in the fields; `runs` are those that it names. */
  show(state, runs) {
    at("run").value = state.runs[0] ?? "";
    at("beside").value = state.runs[1] ?? "";
    this.reads = unique(runs.map((run) => run.text).filter(Boolean));
    this.severalLines = runs.some((run) => run.task === "matching");
    this.kept = state.text;
    at("text-field").hidden = !this.reads.length;
    at("text-label").textContent = capital(this.reads.join(" or "));
    at("text-hint").textContent = this.severalLines
      ? "Several sentences, one a line (Shift and Enter), are ranked."
      : "";
    if (this.text.value.trim() !== state.text) this.text.value = state.text;
    at("phrases").hidden = !runs.some((run) => run.task === "grounding");
    this.phrases.show(oneLine(state.text), state.phrases);
    const known = new Set(runs.flatMap((run) => Object.keys(run.options)));
    this.others = Object.fromEntries(Object.entries(state.options).filter(([name]) => !known.has(name)));
    drawOptions(at("options"), runs, state.options, this.onOptions);
    at("with-image-field").hidden = !runs.some((run) => run.task === "search" && run.text);
    at("with-image").checked = state.withImage;
    at("ask").textContent = capital(unique(runs.map((run) => VERBS[run.action])).join(" and ")) || "Ask";
    this.showImage(state.image);
  }

  /** Say what is done with an image that was given. */
  tell(message) {
    this.form.setAttribute("aria-busy", "true");
    at("image-hint").textContent = message;
  }

  /** It is done: show the image that is chosen. */
  told(image) {
    this.form.removeAttribute("aria-busy");
    this.imageShown = null;
    return this.showImage(image);
  }

  /** Show the image that is chosen, small. */
  async showImage(image) {
    const key = JSON.stringify(image);
    if (this.imageShown === key) return;
    this.imageShown = key;
    const picture = await pictureOf(image).catch(() => null);
    if (this.imageShown !== key) return;
    at("thumbnail").hidden = !picture;
    renew(at("thumbnail"), picture);
    const told = image && !picture ? "An image that was uploaded; " : "";
    at("image-hint").textContent =
      `${told}${image ? "another: drop or paste it" : "or drop one anywhere, or paste it"}`;
  }

  /** Show what is expected of the chosen example, and that it is no longer asked as it was. */
  showExpected(example, text) {
    const known = example && example.expected.length && (!example.text || example.text === text);
    at("expected").hidden = !known;
    if (!known) return;
    const all = unique(example.expected);
    // A few words are read at once, sentences are not.
    const few = all.join(", ").length < FEW;
    const [first, others] = few ? [all.join(", "), []] : [all[0], all.slice(1)];
    const more = others.length
      ? element(
          "details",
          {},
          element("summary", {}, counted(others.length, "other")),
          element(
            "ul",
            {},
            others.map((each) => element("li", { dir: "auto" }, each)),
          ),
        )
      : null;
    renew(at("expected"), "Expected: ", element("strong", { dir: "auto" }, first), more);
  }
}

function grouped(choices) {
  const option = (run) => element("option", { value: run.name }, run.label);
  const [runs, indexes] = [
    choices.filter((run) => run.task !== "search"),
    choices.filter((run) => run.task === "search"),
  ];
  if (!indexes.length) return runs.map(option);
  return [
    element("optgroup", { label: "Runs" }, runs.map(option)),
    element("optgroup", { label: "Search in" }, indexes.map(option)),
  ];
}

const capital = (text) => text.charAt(0).toUpperCase() + text.slice(1);
