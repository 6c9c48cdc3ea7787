/** The chosen panel, large: its image with the map, a slider over the panels, and what stands beside it. */

import { element } from "./dom.js";
import { centredIn, inside, regionAt } from "./geometry.js";
import { drawPicture } from "./marks.js";
import { altOf, bars, gauge, scale } from "./parts.js";
import { wordLine } from "./words.js";

const SIDE = 560;
// A pointer that moved less than this share of the image between down and up has clicked.
const STILL = 0.01;

/** The stage of a figure; `bitmaps` are promises of the decoded images. */
export function stage(state, bitmaps) {
  const beside = element("div", { class: "beside" }, wordLine(state), readout(state), details(state));
  const whole = element("div", { class: "stage" },
    element("div", { class: "look" }, imageOf(state, bitmaps), slider(state), scaleOf(state)), beside);
  state.listen(async () => {
    const bitmap = await bitmaps[pictureOf(state).image];
    if (bitmap) whole.style.setProperty("--aspect", bitmap.width / bitmap.height);
  });
  return whole;
}

/** The picture shown: that of the panel, or the image alone for a step that has none. */
function pictureOf(state) {
  return state.current.picture ?? { ...state.panels.find((panel) => panel.picture).picture, regions: null, outlines: [] };
}

/** What lies over the image now: the map of the word pointed at, or the panel's; null for the bare image. */
function regionsOf(state) {
  const word = state.shown?.word, own = pictureOf(state).regions ?? null;
  if (word === undefined || !state.linked) return own;
  const look = state.lookOf(word);
  return look && { ...state.maps, weights: look, name: `what “${state.words[word]}” looks at`, said: state.saidOfWord(word) };
}

/** The outlines to draw: those of the word pointed at, where words have some, or the panel's. */
function outlinesOf(state) {
  const color = state.shaded?.colors?.[state.shown?.word];
  if (color === undefined) return pictureOf(state).outlines;
  const all = state.panels.flatMap((panel) => panel.picture?.outlines ?? []);
  return [all.find((outline) => outline.color === color)].filter(Boolean);
}

function imageOf(state, bitmaps) {
  const canvas = element("canvas", { role: "img" });
  let waiting = false, dragged = null;
  const draw = async () => {
    waiting = false;
    const picture = pictureOf(state), bitmap = await bitmaps[picture.image];
    if (!bitmap || picture !== pictureOf(state)) return;
    const density = Math.min(2, window.devicePixelRatio || 1);
    canvas.style.aspectRatio = `${bitmap.width} / ${bitmap.height}`;
    const side = Math.round(Math.max(canvas.clientWidth, canvas.clientHeight)) || SIDE;
    const regions = regionsOf(state), outlines = outlinesOf(state), { removable, away } = state;
    const hatched = removable ? [...away.regions].map((i) => removable.places[i]).filter(Boolean) : [];
    const framed = state.regions?.places[state.shown?.region] ?? null;
    canvas.setAttribute("aria-label", altOf(picture, regions, outlines, hatched.length));
    drawPicture(canvas, bitmap, { side, density, regions, outlines, hatched, framed, dragged });
    canvas.dataset.drawn = (Number(canvas.dataset.drawn) || 0) + 1;
  };
  const redraw = () => {
    if (!waiting) requestAnimationFrame(draw);
    waiting = true;
  };
  state.listen(redraw);
  const observer = new ResizeObserver(redraw);
  observer.observe(canvas);
  state.ends = [...(state.ends ?? []), () => observer.disconnect()];
  pointing(canvas, state, (box) => {
    dragged = box;
    redraw();
  });
  const step = { ArrowLeft: -1, ArrowUp: -1, ArrowRight: 1, ArrowDown: 1 };
  return element("div", {
    class: "canvas", tabindex: state.panels.length > 1 ? 0 : null, role: "group", "aria-label": "The image shown",
    "data-key": "stage",
    keydown: (event) => {
      if (!(event.key in step) || state.panels.length < 2) return;
      event.preventDefault();
      state.select(state.panel + step[event.key]);
    },
  }, canvas);
}

/** Regions under the pointer are shown; a click pins them or takes them away, a dragged box takes all in it away. */
function pointing(canvas, state, drag) {
  let start = null;
  const place = (event) => {
    const box = canvas.getBoundingClientRect();
    return [(event.clientX - box.left) / box.width, (event.clientY - box.top) / box.height];
  };
  const box = (event) => inside([...start, ...place(event)]);
  const regionOf = (event) => {
    const map = state.current?.picture?.regions;
    const weights = map && map.places.length === state.regions?.places.length ? map.weights : null;
    return state.regions ? regionAt(state.regions, place(event), weights) : null;
  };
  const far = (event) => start && Math.hypot(...place(event).map((at, i) => at - start[i])) > STILL;
  canvas.addEventListener("pointermove", (event) => {
    // A finger that moves scrolls the page.
    if (state.taking && far(event) && event.pointerType !== "touch") return drag(box(event));
    const region = regionOf(event);
    state.point(region === null ? null : { region });
  });
  canvas.addEventListener("pointerleave", () => state.point(null));
  canvas.addEventListener("pointerdown", (event) => {
    if (event.button !== 0) return;
    start = place(event);
    if (state.taking && event.pointerType !== "touch") canvas.setPointerCapture(event.pointerId);
  });
  canvas.addEventListener("pointercancel", () => {
    start = null;
    drag(null);
  });
  canvas.addEventListener("pointerup", (event) => {
    if (!start) return;
    const [moved, area, region] = [far(event), box(event), regionOf(event)];
    start = null;
    drag(null);
    if (state.taking && moved) return takeAll(state, area);
    if (region === null) return;
    if (state.taking) state.toggle("regions", region);
    else state.pinned({ region });
  });
}

function takeAll(state, area) {
  const found = centredIn(state.removable, area);
  if (found.length) state.takeAway({ ...state.away, regions: new Set([...state.away.regions, ...found]) });
}

/** The slider over the panels, with the name of the one shown; null for a single one. */
function slider(state) {
  if (state.panels.length < 2 || state.figure.size === "alone") return null;
  const name = (i) => `${state.panels[i].title || "image"} (${i + 1} of ${state.panels.length})`;
  const range = element("input", {
    type: "range", min: 0, max: state.panels.length - 1, step: 1, "data-key": "slider", "aria-label": "Panel shown",
    input: () => state.select(Number(range.value)),
  });
  const output = element("output", { dir: "auto" });
  state.listen(() => {
    range.value = state.panel;
    range.setAttribute("aria-valuetext", name(state.panel));
    output.textContent = name(state.panel);
  });
  return element("div", { class: "slider" }, output, range);
}

/** The scale of the map shown. */
function scaleOf(state) {
  const held = element("div", { class: "scaled" });
  state.listen(() => {
    const regions = regionsOf(state);
    // What a word looks at most is said beside the words.
    const shown = state.shown?.word === undefined || !regions ? regions : { ...regions, said: regions.name };
    held.replaceChildren(...[scale(shown)].filter(Boolean));
  });
  return held;
}

/** What is pointed at or pinned, in words and read aloud, or how to find out. */
function readout(state) {
  const line = element("span", { class: "readout", role: "status", "aria-live": "polite", dir: "auto" });
  const hint = element("span", { class: "hint" });
  state.listen(() => {
    const said = state.said();
    if (line.textContent !== said) line.textContent = said;
    hint.textContent = said ? "" : hintOf(state);
  });
  return state.linked || state.removable ? element("p", { class: "pointed" }, line, hint) : null;
}

function hintOf(state) {
  const kept = state.taking ? "a click takes it away" : "a click keeps it";
  if (state.linked) return `Point at a word to see what it looks at, at the image to see which words look there; ${kept}.`;
  return `Point at the image to see what a region weighs; ${kept}.`;
}

/** The bars of the panel, or of the one panel that has some; its gauge and note. */
function details(state) {
  const held = element("div");
  let shown = null;
  const first = state.panels.find((panel) => panel.bars.length);
  state.listen(() => {
    if (shown === state.panel) return;
    shown = state.panel;
    const { bars: rows, gauge: bar, note } = state.current;
    const parts = [gauge(bar), bars(rows.length ? rows : first?.bars ?? [])];
    if (note) parts.push(element("p", { class: "quiet", dir: "auto" }, note));
    held.replaceChildren(...parts.filter(Boolean));
  });
  return held;
}
