/** All panels of a figure, small, side by side; each chooses itself for the stage. */

import { element } from "./dom.js";
import { drawPicture } from "./marks.js";
import { altOf, bars, gauge, scale, shadedWords } from "./parts.js";

const SMALL_SIDE = 200;

/** The panels in order, as buttons where there is a stage; `seen` draws a canvas as soon as it may be seen. */
export function sheet(state, bitmaps, seen, { buttons }) {
  const made = state.panels.map((panel, i) => {
    const inner = [
      panel.title ? element("span", { class: "name", dir: "auto" }, panel.title) : null,
      panel.picture ? picture(panel.picture, bitmaps, seen) : null,
    ];
    const choose = () => state.select(i);
    const head = buttons && panel.picture
      ? element("button", { type: "button", class: "panel", "data-key": `panel-${i}`, click: choose }, inner)
      : element("div", { class: "panel" }, inner);
    const note = panel.note ? element("p", { class: "quiet", dir: "auto" }, panel.note) : null;
    return element("li", {}, head, gauge(panel.gauge),
      element("div", { class: "more" }, scale(panel.picture?.regions), bars(panel.bars)), shadedWords(panel.words),
      note);
  });
  if (buttons) {
    state.listen(() => made.forEach((item, i) => {
      const chosen = i === state.panel;
      item.classList.toggle("chosen", chosen);
      item.querySelector("button")?.setAttribute("aria-current", chosen);
    }));
  }
  return element("ol", { class: `sheet ${widthOf(state.panels)}` }, made);
}

/** How much room panels need: bars alone most, then words, and boxes with labels to be read. */
function widthOf(panels) {
  if (!panels.some(({ picture: shown }) => shown)) return "widest";
  const wide = ({ picture: shown, words }) => words || shown?.outlines.length || shown?.regions?.grid === null;
  return panels.some(wide) ? "wider" : "narrow";
}

function picture(shown, bitmaps, seen) {
  const { image, regions, outlines } = shown;
  const canvas = element("canvas", { role: "img", "aria-label": altOf(shown, regions, outlines) });
  seen(canvas, async () => {
    const bitmap = await bitmaps[image];
    if (!bitmap) return;
    canvas.style.aspectRatio = `${bitmap.width} / ${bitmap.height}`;
    canvas.style.setProperty("--aspect", bitmap.width / bitmap.height);
    const side = Math.round(Math.max(canvas.clientWidth, canvas.clientHeight)) || SMALL_SIDE;
    drawPicture(canvas, bitmap, { side, density: 2, regions, outlines });
    canvas.dataset.drawn = 1;
  });
  return canvas;
}
