/** The page of saccade serve: the state in the address, the fields that change it, and a column for each run. */

import { ApiError, get, isAbort } from "./api.js";
import { Column } from "./column.js";
import { element } from "./elements.js";
import { Examples } from "./examples.js";
import { Inputs } from "./inputs.js";
import { keys, themes } from "./keys.js";
import { takeImages, upload } from "./picture.js";
import { SearchColumn } from "./search.js";
import { apart, fromFragment, nothing, searchName, toFragment } from "./state.js";

const at = (id) => document.getElementById(id);
let state = nothing();
let catalogue;
let columns = [];
let inputs;
let examples;
let uploading;

/** The runs and the indexes by what the state calls them, both as what can be asked. */
function choicesOf({ runs, indexes, limits }) {
  const searches = indexes.map((index) => ({
    name: searchName(index.name),
    label: index.name,
    task: "search",
    action: "search",
    // Sentences are found by an image alone.
    text: index.holds === "sentences" ? "" : "words to look for",
    options: { top: { default: 10, least: 1, most: limits.top } },
    examples: 0,
    index: index.name,
    by: index.run,
    holds: index.holds,
    count: index.count,
  }));
  return [...runs.map((run) => ({ ...run, label: run.name })), ...searches];
}

const chosen = () => state.runs.map((name) => catalogue.choices.find((run) => run.name === name)).filter(Boolean);

/** Say what went wrong beside the fields, or nothing. */
function alarm(message) {
  at("alert").replaceChildren(...(message ? [element("p", {}, message)] : []));
}

function fail(error) {
  if (isAbort(error)) return;
  if (!(error instanceof ApiError)) console.error(error);
  alarm(error.message);
}

/** Change the state: a place of its own for Back where `push`, and all that shows it. */
function change(changes, { push = true, refresh = true } = {}) {
  state = { ...state, ...changes };
  const fragment = `#${toFragment(state)}`;
  if (fragment !== (location.hash || "#")) history[push ? "pushState" : "replaceState"](null, "", fragment);
  if (refresh) show();
}

/** Change what a column has of its own. */
function changeColumn(index, changes, options) {
  change({ columns: state.columns.map((own, at) => (at === index ? { ...own, ...changes } : own)) }, options);
}

/** The server had dropped the image, and has it again under another token. */
function renewed(token) {
  change({ image: { token } }, { push: false, refresh: false });
  inputs.imageShown = JSON.stringify(state.image);
}

/** Show the state: the fields, the examples, and every column. */
function show() {
  const runs = chosen();
  inputs.show(state, runs);
  showExamples(runs);
  const wanted = runs.map((run) => run.name);
  if (columns.map((column) => column.run.name).join("\n") !== wanted.join("\n")) place(runs);
  at("results").classList.toggle("two", runs.length > 1);
  for (const column of columns) column.refresh(state);
}

function place(runs) {
  const before = columns;
  const page = { change: changeColumn, renewed };
  columns = runs.map((run, index) => {
    const same = before.find((column) => column.run === run && column.index === index);
    return same ?? new (run.task === "search" ? SearchColumn : Column)(index, run, page);
  });
  for (const column of before) if (!columns.includes(column)) column.destroy();
  at("results").replaceChildren(...columns.map((column) => column.element));
}

async function showExamples(runs) {
  const image = state.image;
  await examples.show(runs, image);
  if (image === state.image) inputs.showExpected(image?.run && examples.of(image.run, image.example), state.text);
}

/** The state of an address, the first run where it names none that is here. */
function restored() {
  const wanted = fromFragment(location.hash);
  const unknown = wanted.runs.filter((name) => !catalogue.choices.some((run) => run.name === name));
  wanted.runs = wanted.runs.filter((name) => !unknown.includes(name));
  if (!wanted.runs.length && catalogue.choices.length) wanted.runs = [catalogue.choices[0].name];
  alarm(unknown.length ? `This server has no run named ${unknown.join(", ")}: choose one of those that are here.` : "");
  return wanted;
}

/** Ask what stands in the fields. */
function ask() {
  alarm();
  const entered = inputs.entered;
  const another = entered.text !== state.text;
  // The words of another text are others; the regions are the same as long as the image is.
  const own = another ? { words: [], chosen: null, begin: "" } : {};
  change({ ...entered, columns: state.columns.map((column) => ({ ...column, ...own })) });
  reveal();
}

/** On a narrow screen the answers are below the fields. */
function reveal() {
  if (at("results").getBoundingClientRect().top < 0.6 * innerHeight) return;
  const still = matchMedia("(prefers-reduced-motion: reduce)").matches;
  at("results").scrollIntoView({ behavior: still ? "auto" : "smooth", block: "start" });
}

/** Take an image; where nothing is read it is all that is needed, else the text is. */
async function take(blob) {
  alarm();
  uploading?.abort();
  const controller = new AbortController();
  uploading = controller;
  inputs.tell("Uploading …");
  try {
    const token = await upload(blob, {
      limits: catalogue.limits,
      signal: controller.signal,
      onWait: (seconds) => inputs.tell(`The server is busy: uploading again in ${seconds} s`),
    });
    change({ ...inputs.entered, image: { token }, columns: [apart(), apart()] });
    if (chosen().every((run) => !run.text)) reveal();
    else if (!state.text) at("text").focus();
  } catch (error) {
    fail(error);
  } finally {
    if (uploading === controller) inputs.told(state.image);
  }
}

function takeExample(run, example) {
  alarm();
  const text = example.text || inputs.entered.text;
  change({
    ...inputs.entered,
    text,
    phrases: [],
    image: { run: run.name, example: example.number },
    columns: [apart(), apart()],
  });
  reveal();
}

function chooseRuns(names) {
  const columnsNow = names.map((name, index) => (state.runs[index] === name ? state.columns[index] : apart()));
  change({ ...inputs.entered, runs: [...names], columns: [...columnsNow, apart()].slice(0, 2) });
}

function listen() {
  const nextTheme = themes(at("theme"));
  const first = () => columns[0];
  keys(at("keys"), at("help"), {
    "/": ["to the question or sentence", () => at("text").focus()],
    i: ["choose an image", () => at("file").click()],
    e: ["to the test examples", () => at("examples").querySelector("button")?.focus()],
    a: ["to the answers", () => at("results").focus()],
    u: ["undo what was taken away last, in the first column", () => first()?.undo?.()],
    r: ["restore all that was taken away, in the first column", () => first()?.take?.({ regions: [], words: [] })],
    t: ["another theme", nextTheme],
    Escape: ["stop what is under way", () => columns.forEach((column) => column.halt())],
  });
  at("skip").addEventListener("click", (event) => {
    event.preventDefault();
    at("results").focus();
  });
  takeImages({ file: at("file"), overlay: at("drop"), onImage: take, onNothing: alarm });
  addEventListener("popstate", () => {
    state = restored();
    show();
  });
}

async function start() {
  try {
    catalogue = await get("/api/runs");
  } catch (error) {
    fail(error);
    at("welcome").textContent = "Start the server again, then load this page again.";
    return;
  }
  catalogue.choices = choicesOf(catalogue);
  examples = new Examples(at("examples"), { onChoose: takeExample, onError: fail });
  inputs = new Inputs(catalogue.choices, { onAsk: ask, onRuns: chooseRuns });
  listen();
  state = restored();
  show();
}

start();
