/** What a pointer does on the stage's image. */

import { centredIn, inside, regionAt } from "./geometry.js";

// A pointer that moved less than this share of the image between down and up has clicked.
const STILL = 0.01;

/** Show the region under the pointer; a click pins it or takes it away, a dragged box takes away all in it. */
export function followPointer(canvas, state, drag) {
  let start = null;
  const box = (event) => inside([...start, ...placeOf(event, canvas)]);
  const far = (event) => start && Math.hypot(...placeOf(event, canvas).map((at, i) => at - start[i])) > STILL;
  // A finger that moves scrolls the page.
  const drags = (event) => state.taking && state.removable && event.pointerType !== "touch";
  const stop = () => {
    start = null;
    drag(null);
  };
  canvas.addEventListener("pointermove", (event) => {
    if (drags(event) && far(event)) return drag(box(event));
    const region = regionOf(event, canvas, state);
    state.point(region === null ? null : { region });
  });
  canvas.addEventListener("pointerleave", () => state.point(null));
  canvas.addEventListener("pointerdown", (event) => {
    if (event.button !== 0) return;
    start = placeOf(event, canvas);
    if (drags(event)) canvas.setPointerCapture(event.pointerId);
  });
  canvas.addEventListener("pointercancel", stop);
  canvas.addEventListener("pointerup", (event) => {
    if (!start) return;
    const area = drags(event) && far(event) ? box(event) : null;
    stop();
    if (area) takeAll(state, area);
    else click(state, regionOf(event, canvas, state));
  });
}

/** Where on the image a pointer is, as fractions. */
function placeOf(event, canvas) {
  const box = canvas.getBoundingClientRect();
  return [(event.clientX - box.left) / box.width, (event.clientY - box.top) / box.height];
}

/** The region under the pointer, by the weights of the map shown where it has the same regions; null for none. */
function regionOf(event, canvas, state) {
  const map = state.current?.picture?.regions;
  const weights = map && map.places.length === state.regions?.places.length ? map.weights : null;
  return state.regions ? regionAt(state.regions, placeOf(event, canvas), weights) : null;
}

function click(state, region) {
  if (region === null) return;
  if (state.taking) state.toggle("regions", region);
  else state.pinned({ region });
}

function takeAll(state, area) {
  const found = centredIn(state.removable, area);
  if (found.length) state.takeAway({ ...state.away, regions: new Set([...state.away.regions, ...found]) });
}
