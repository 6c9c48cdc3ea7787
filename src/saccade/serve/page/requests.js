/** What the page shows, as the requests that show it. */

import { oneLine } from "./state.js";

const SEVERAL = 5;

/** The fields that a run is asked with, but for the image; `text` is what it reads. */
export function fieldsOf(run, state, { text = oneLine(state.text), begin = "", as = "figure" } = {}) {
  const fields = { run: run.name, as };
  if (run.text) fields.text = text;
  Object.assign(fields, optionsOf(run, state));
  if (run.task === "grounding" && state.phrases.length) fields.phrase = state.phrases;
  if (begin) fields.begin = begin;
  return fields;
}

/** The same with what was taken away, null where nothing was. */
export function withoutFields(fields, own) {
  if (!own.regions.length && !own.words.length) return null;
  const changed = { ...fields };
  if (own.regions.length) changed.without_regions = own.regions;
  if (own.words.length) changed.without_words = own.words;
  return changed;
}

/** The values of a run's options that differ from its own. */
export function optionsOf(run, state) {
  const values = run.task === "captioning" ? { top: severalCaptions(run, state) } : {};
  for (const name of Object.keys(run.options)) {
    const value = state.options[name];
    if (value !== undefined && value !== "") values[name] = Number.isNaN(Number(value)) ? value : Number(value);
  }
  return values;
}

/** How many captions there are to choose from unless it is said: as many as a search of that width finds, but few. */
function severalCaptions(run, state) {
  return Math.min(SEVERAL, Number(state.options.beam) || run.options.beam?.default || 1);
}

/** What is missing before a run can be asked, in words; "" where nothing is. */
export function missing(run, state) {
  if (!state.image) return "Choose an image: a file, one dropped or pasted, or an example.";
  if (run.text && !oneLine(state.text)) return `Type a ${run.text} and press Enter.`;
  return "";
}
