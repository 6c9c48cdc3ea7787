/** The chosen panel, large: its image with the map, a slider over the panels, and what stands beside it. */

import { element } from "./dom.js";
import { drawPicture } from "./marks.js";
import { altOf, bars, gauge, scale } from "./parts.js";
import { followPointer } from "./pointer.js";
import { wordLine } from "./words.js";

const SIDE = 560;
const STEPS_OF = { ArrowLeft: -1, ArrowUp: -1, ArrowRight: 1, ArrowDown: 1 };

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
  const { picture } = state.current;
  return picture ?? { ...state.panels.find((panel) => panel.picture).picture, regions: null, outlines: [] };
}

/** What lies over the image now: the map of the word pointed at, or the panel's; null for the bare image. */
function regionsOf(state) {
  const word = state.shown?.word, own = pictureOf(state).regions ?? null;
  if (word === undefined || !state.linked) return own;
  const weights = state.lookOf(word), name = `what “${state.words[word]}” looks at`;
  return weights && { ...state.maps, weights, name, said: state.saidOfWord(word) };
}

/** The outlines to draw: those of the word pointed at, where words have some, or the panel's. */
function outlinesOf(state) {
  const color = state.shaded?.colors?.[state.shown?.word];
  if (color === undefined) return pictureOf(state).outlines;
  const all = state.panels.flatMap((panel) => panel.picture?.outlines ?? []);
  return [all.find((outline) => outline.color === color)].filter(Boolean);
}

/** The canvas, drawn anew after every change and when its size changes; arrow keys on it choose the panel. */
function imageOf(state, bitmaps) {
  const canvas = element("canvas", { role: "img" });
  let waiting = false, dragged = null;
  const redraw = () => {
    if (!waiting) requestAnimationFrame(draw);
    waiting = true;
  };
  const draw = () => {
    waiting = false;
    drawStage(canvas, state, bitmaps, dragged);
  };
  state.listen(redraw);
  const observer = new ResizeObserver(redraw);
  observer.observe(canvas);
  state.ends.push(() => observer.disconnect());
  followPointer(canvas, state, (box) => {
    dragged = box;
    redraw();
  });
  const several = state.panels.length > 1;
  const step = (event) => {
    if (!several || !(event.key in STEPS_OF)) return;
    event.preventDefault();
    state.select(state.panel + STEPS_OF[event.key]);
  };
  return element("div", {
    class: "canvas", tabindex: several ? 0 : null, role: "group", "aria-label": "The image shown", "data-key": "stage",
    keydown: step,
  }, canvas);
}

async function drawStage(canvas, state, bitmaps, dragged) {
  const picture = pictureOf(state), bitmap = await bitmaps[picture.image];
  if (!bitmap || picture.image !== pictureOf(state).image) return;
  canvas.style.aspectRatio = `${bitmap.width} / ${bitmap.height}`;
  const side = Math.round(Math.max(canvas.clientWidth, canvas.clientHeight)) || SIDE;
  const density = Math.min(2, window.devicePixelRatio || 1);
  const regions = regionsOf(state), outlines = outlinesOf(state), { removable, away } = state;
  const hatched = removable ? [...away.regions].map((i) => removable.places[i]).filter(Boolean) : [];
  const framed = state.regions?.places[state.shown?.region] ?? null;
  canvas.setAttribute("aria-label", altOf(picture, regions, outlines, hatched.length));
  drawPicture(canvas, bitmap, { side, density, regions, outlines, hatched, framed, dragged });
  canvas.dataset.drawn = (Number(canvas.dataset.drawn) || 0) + 1;
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
  const style = state.maps?.style ?? "bare", held = element("div", { class: `scaled ${style}` });
  state.listen(() => {
    const regions = regionsOf(state);
    // What a word looks at most is said beside the words.
    const word = state.linked && regions && state.shown?.word !== undefined;
    const shown = word ? { ...regions, said: `${regions.name}: ${state.linked.name}` } : regions;
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
  const written = state.options.onWord && !state.wordsGo;
  const taken = written ? "a click takes a region away, and stays with a word" : "a click takes it away";
  const kept = state.taking ? taken : "a click keeps it";
  if (state.linked && state.sameRegions(state.maps)) {
    return `Point at a word to see what it looks at, at the image to see which words look there; ${kept}.`;
  }
  const words = state.linked ? "at a word to see what it looks at, " : "";
  return `Point ${words}at the image to see ${state.taking ? "its regions" : "what a region weighs"}; ${kept}.`;
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
