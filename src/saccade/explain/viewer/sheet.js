/** All panels of a figure, small, side by side; each chooses itself for the stage. */

import { element } from "./dom.js";
import { drawPicture } from "./marks.js";
import { bars, gauge, scale, shadedWords } from "./parts.js";
import { altOf } from "./stage.js";

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
  return element("ol", { class: `sheet ${state.figure.size}` }, made);
}

function picture(shown, bitmaps, seen) {
  const { image, regions, outlines } = shown;
  const canvas = element("canvas", { role: "img", "aria-label": altOf(shown, regions, outlines) });
  seen(canvas, async () => {
    const bitmap = await bitmaps[image];
    if (!bitmap) return;
    const side = outlines.length || (regions && !regions.grid) ? 280 : 200;
    drawPicture(canvas, bitmap, { side, density: 2, regions, outlines });
    canvas.dataset.drawn = 1;
  });
  return canvas;
}
