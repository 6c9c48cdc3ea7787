/** Draws a figure, the JSON of `Figure.to_dict()`, into an element of class `saccade`: the one way to HTML. */

import { element } from "./dom.js";
import { listing } from "./parts.js";
import { sheet } from "./sheet.js";
import { stage } from "./stage.js";
import { State } from "./state.js";
import { tables } from "./table.js";
import { tools } from "./tools.js";

const views = new WeakMap();
const LINK = /^(https?|file):/;

/**
 * Draw `figure` into an element, in place of what was drawn there; the focus, what is open and what a click does stay.
 *
 * Options, all of them optional: `heading` is the level of the title's heading, 0 for none; `panel` is the one shown
 * first, and `onPanel(index)` is told of another; `regions` ({boxes, grid}) are the image's, where they are not those
 * of the figure's maps; `words` those of the text, where they are not the figure's; `away` ({regions, words}) is what
 * is taken away, by number. With `onAway(away)` a click takes away, and what is away then is told; with
 * `onWord(place, text)` another word can be written in place of one of a caption's.
 *
 * Gives {element, figure, select(index), selected, destroy()}.
 */
export function showFigure(target, figure, options = {}) {
  const before = views.get(target)?.leave();
  const images = new Map((figure.images ?? []).map((url) => [url, before?.images.get(url) ?? decoded(url)]));
  const shared = { images, bitmaps: [...images.values()], tables: figure.places ?? [], ends: [], ...whenSeen() };
  const state = new State(figure, shared.tables, options);
  if (before) state.taking = Boolean(options.onAway) && before.taking;
  target.replaceChildren(section(state, shared, options.heading ?? 2));
  const own = { leave: () => left(target, state, shared) };
  const view = {
    element: target,
    figure,
    select: (index) => state.select(index),
    get selected() {
      return state.panel;
    },
    destroy: () => {
      // What was drawn there since is not this view's to end.
      if (views.get(target) !== own) return;
      own.leave();
      views.delete(target);
      target.replaceChildren();
    },
  };
  views.set(target, own);
  if (before) resume(target, before);
  return view;
}

/** A figure's title, lines, panels, and what follows them. */
function section(state, shared, level) {
  const { figure } = state, heading = `h${Math.min(6, Math.max(2, level + 1))}`;
  const lines = figure.lines.map((line) => element("p", { class: "quiet", dir: "auto" }, line));
  const parts = figure.parts.map((part) => section(new State(part, shared.tables, {}), shared, Math.max(2, level + 1)));
  const made = element("section", { class: "figure" }, title(figure, level), lines, panels(state, shared),
    figure.reading ? element("p", { class: "quiet reading" }, figure.reading) : null,
    listing(figure.listing, heading), parts);
  made.addEventListener("keydown", (event) => {
    if (event.key === "Escape" && state.pin) state.change({ pin: null });
  });
  shared.ends.push(...state.ends);
  return made;
}

function title(figure, level) {
  if (!level || !figure.title) return null;
  const text = LINK.test(figure.link) ? element("a", { href: figure.link }, figure.title) : figure.title;
  return element(`h${level}`, { dir: "auto" }, text);
}

/** The stage with the sheet of all panels under it; panels without an image are a sheet alone. */
function panels(state, shared) {
  if (!state.panels.length) return [];
  const several = state.panels.length > 1 && state.figure.size !== "alone";
  const below = (buttons) => sheet(state, shared.bitmaps, shared.seen, { buttons });
  if (!state.panels.some((panel) => panel.picture)) return below(false);
  return [tools(state), stage(state, shared.bitmaps), several ? below(true) : null, tables(state)];
}

/** What of a view stays in the next one: where the focus is, which details are open, what a click does. */
function left(target, state, shared) {
  for (const end of shared.ends) end();
  shared.stop();
  const focused = target.contains(document.activeElement) ? document.activeElement.dataset.key : null;
  const open = target.querySelector("details")?.open ?? false;
  return { focused, open, taking: state.taking, images: shared.images };
}

function resume(target, { focused, open }) {
  const details = target.querySelector("details");
  if (details && open) details.open = true;
  // The rows of a table come when it has opened.
  if (focused) setTimeout(() => target.querySelector(`[data-key="${CSS.escape(focused)}"]`)?.focus());
}

/** A promise of the image in a data URL, decoded, or of null where it is none. */
async function decoded(url) {
  try {
    const bytes = Uint8Array.from(atob(url.slice(url.indexOf(",") + 1)), (character) => character.charCodeAt(0));
    return await createImageBitmap(new Blob([bytes], { type: "image/jpeg" }));
  } catch {
    return null;
  }
}

/** `seen(element, draw)` draws once, when an element is near to being seen or is to be printed; `stop()` ends it. */
function whenSeen() {
  const waiting = new Map();
  const draw = (each) => {
    waiting.get(each)?.();
    waiting.delete(each);
    observer.unobserve(each);
  };
  const near = (entries) => entries.filter((entry) => entry.isIntersecting).forEach((entry) => draw(entry.target));
  const observer = new IntersectionObserver(near, { rootMargin: "600px" });
  const all = () => [...waiting.keys()].forEach(draw);
  window.addEventListener("beforeprint", all);
  return {
    seen: (each, drawing) => {
      waiting.set(each, drawing);
      observer.observe(each);
    },
    stop: () => {
      observer.disconnect();
      window.removeEventListener("beforeprint", all);
    },
  };
}
