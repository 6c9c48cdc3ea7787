/** Figures as the page shows them: which panel comes first, and what stands beside the view instead of in it. */

import { showFigure } from "/viewer/viewer.js";

/** Draw a figure into a room of the page; the view. A room knows whether words can be pointed at. */
export function show(room, figure, options) {
  room.classList.toggle("linked", Boolean(figure.links));
  return showFigure(room, figure, options);
}

/** The index of the last panel with a map over the image, from which the answer was made; 0 where none has one. */
export function lastMap(figure) {
  return Math.max(
    0,
    figure.panels.findLastIndex((panel) => panel.picture?.regions),
  );
}

/** The figure without bars and other captions: the column has them, beside what is said without a region. */
export function bare(figure) {
  return { ...figure, panels: figure.panels.map((panel) => ({ ...panel, bars: [] })), listing: null };
}
