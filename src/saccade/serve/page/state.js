/** What the page shows, and the same as the fragment of its address: a link restores it. */

import { ranges, unranged } from "./numbers.js";

const SEARCH = "search:";

/**
 * What differs between the runs side by side: the panel (null: the task's first), what is taken away, how a caption
 * begins, which sentence or hit is chosen (null: the best).
 */
export const apart = () => ({ panel: null, regions: [], words: [], begin: "", chosen: null });

/** A state of nothing chosen. */
export const nothing = () => ({
  runs: [],
  image: null,
  text: "",
  phrases: [],
  options: {},
  withImage: false,
  columns: [apart(), apart()],
});

/** Whether a name chosen among the runs is that of an index. */
export const isIndex = (name) => name.startsWith(SEARCH);
/** The index's own name. */
export const indexName = (name) => name.slice(SEARCH.length);
/** The name among the runs of an index. */
export const searchName = (index) => SEARCH + index;

// In a link things are counted from 1, and what is not there is not chosen.
const counted = (place) => (place === null ? 0 : place + 1);
const place = (text) => (/^[1-9]\d{0,4}$/.test(text ?? "") ? Number(text) - 1 : null);

/** The fragment of a state, without its "#"; what is as in `nothing` is left out. */
export function toFragment(state) {
  const fields = new URLSearchParams();
  for (const name of state.runs) fields.append("run", name);
  if (state.image?.example !== undefined) {
    fields.append("example", state.image.example);
    fields.append("of", state.image.run);
  }
  if (state.image?.token) fields.append("image", state.image.token);
  if (state.text) fields.append("text", state.text);
  for (const phrase of state.phrases) fields.append("phrase", phrase);
  for (const [name, value] of Object.entries(state.options)) fields.append(`option.${name}`, value);
  if (state.withImage) fields.append("with-image", "yes");
  state.columns.slice(0, state.runs.length).forEach((column, index) => {
    const put = (name, value) => value && fields.append(`${name}.${index + 1}`, value);
    put("panel", counted(column.panel));
    put("without-regions", ranges(column.regions));
    put("without-words", ranges(column.words));
    put("begin", column.begin);
    put("chosen", counted(column.chosen));
  });
  return fields.toString();
}

/** The state of such a fragment; what is none is left out. */
export function fromFragment(fragment) {
  const fields = new URLSearchParams(fragment.replace(/^#/, ""));
  const state = nothing();
  state.runs = fields.getAll("run").slice(0, 2);
  if (/^\d+$/.test(fields.get("example") ?? "")) {
    state.image = { example: Number(fields.get("example")), run: fields.get("of") ?? state.runs[0] ?? "" };
  } else if (fields.get("image")) {
    state.image = { token: fields.get("image") };
  }
  state.text = fields.get("text") ?? "";
  state.phrases = fields.getAll("phrase");
  for (const [name, value] of fields) if (name.startsWith("option.")) state.options[name.slice(7)] = value;
  state.withImage = fields.get("with-image") === "yes";
  state.columns = state.columns.map((_, index) => {
    const value = (name) => fields.get(`${name}.${index + 1}`);
    return {
      panel: place(value("panel")),
      regions: unranged(value("without-regions")),
      words: unranged(value("without-words")),
      begin: value("begin") ?? "",
      chosen: place(value("chosen")),
    };
  });
  return state;
}

/** The sentences of a text, one a line. */
export const sentences = (text) =>
  text
    .split("\n")
    .map((line) => line.trim())
    .filter(Boolean);

/** The text as a run that reads one takes it: its first line. */
export const oneLine = (text) => sentences(text)[0] ?? "";
