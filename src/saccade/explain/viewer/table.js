/** The numbers behind a figure's maps: regions and words by their weights. */

import { element } from "./dom.js";
import { whereabouts } from "./geometry.js";
import { largest, shortText, weightText } from "./numbers.js";
import { same } from "./state.js";

/** The tables of a figure, made when they are opened; null where there is no number and nothing to take away. */
export function tables(state) {
  const { removable, maps, options } = state;
  const apart = options.onAway && removable && maps && removable.places.length !== maps.places.length;
  const makers = [];
  if (maps) makers.push(() => regionTable(state, maps, { weighed: true, boxes: Boolean(options.onAway) && !apart }));
  if (options.onAway && removable && (apart || !maps)) {
    makers.push(() => regionTable(state, removable, { weighed: false, boxes: true }));
  }
  if (state.shaded?.weights || state.linked) makers.push(() => wordTable(state));
  if (!makers.length) return null;
  const details = element("details", {
    class: "numbers",
    toggle: () => {
      if (details.open && details.children.length === 1) details.append(...makers.map((make) => scrolled(make())));
    },
  }, element("summary", { "data-key": "numbers" }, options.onAway ? "Numbers, and regions to take away" : "Numbers"));
  return details;
}

const titleOf = ({ title }) => title || "weight";

function scrolled(table) {
  const label = table.caption.textContent;
  return element("div", { class: "scrolled", tabindex: 0, role: "group", "aria-label": label }, table);
}

/** A row for each region: its number, where it lies, its weight in every map, and whether it is taken away. */
function regionTable(state, regions, { weighed, boxes }) {
  const maps = weighed ? state.panels.filter((panel) => panel.picture?.regions) : [];
  const places = regions.grid ? ["row", "column"] : ["across", "down"];
  const head = ["region", ...(boxes ? ["taken away"] : []), ...places, ...maps.map(titleOf)];
  const rows = regions.places.map((_, i) => {
    const weights = maps.map(({ picture: { regions: own } }) => weightText(own.weights[i], own.weights.length));
    const where = whereabouts(regions, i).map((text) => text.replace(/^(row|column) | (across|down)$/g, ""));
    const row = element("tr", {}, element("th", { scope: "row" }, regionButton(state, i, regions)),
      boxes ? element("td", {}, checkbox(state, i)) : null,
      [...where, ...weights].map((text) => element("td", {}, text)));
    row.addEventListener("pointerenter", () => point(state, regions, i));
    row.addEventListener("pointerleave", () => state.point(null));
    return row;
  });
  const numbered = "Regions are counted from 0, row by row, as the command line does.";
  return table(weighed ? `Weights of the regions. ${numbered}` : `Regions to take away. ${numbered}`, head, rows);
}

/** Show a region, where the stage has the same ones. */
function point(state, regions, region) {
  state.point(state.regions?.places.length === regions.places.length ? { region } : null);
}

function regionButton(state, region, regions) {
  const button = element("button", {
    type: "button", class: "number", "data-key": `region-${region}`, focus: () => point(state, regions, region),
    blur: () => state.point(null), click: () => state.pinned({ region }), "aria-label": `Pin region ${region}`,
  }, String(region));
  state.listen(() => button.setAttribute("aria-pressed", same(state.pin, { region })));
  return button;
}

function checkbox(state, region) {
  const box = element("input", {
    type: "checkbox", "data-key": `away-${region}`, "aria-label": `Take region ${region} away`,
    change: () => state.toggle("regions", region),
  });
  state.listen(() => { box.checked = state.away.regions.has(region); });
  return box;
}

/** A row for each word: its weight in every panel that has words, and the region it looks at most. */
function wordTable(state) {
  const panels = state.panels.filter((panel) => panel.words?.weights?.length === state.words.length);
  const looks = state.linked ? ["looks most at region", "with"] : [];
  const head = ["word", ...panels.map(titleOf), ...looks];
  const rows = state.words.map((word, i) => {
    const weights = panels.map((panel) => weightText(panel.words.weights[i], state.words.length));
    const look = state.linked && state.lookOf(i), most = look ? look.indexOf(largest(look)) : null;
    const seen = look ? [String(most), shortText(look[most])] : ["none", ""];
    return element("tr", {}, element("th", { scope: "row", dir: "auto" }, word),
      [...weights, ...(state.linked ? seen : [])].map((text) => element("td", {}, text)));
  });
  return table(state.linked ? `Words: ${state.linked.name}.` : "Weights of the words.", head, rows);
}

function table(caption, head, rows) {
  return element("table", {}, element("caption", {}, caption),
    element("thead", {}, element("tr", {}, head.map((text) => element("th", { scope: "col", dir: "auto" }, text)))),
    element("tbody", {}, rows));
}
