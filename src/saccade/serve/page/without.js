/** What was taken away: how much of its weight the map had given it, and what came of that. */

import { counted } from "/viewer/numbers.js";
import { element, table } from "./elements.js";
import { listed, weight } from "./numbers.js";

const INLINE = 4;

/** How much each step's map had given to what was taken away, as `[{name, regions, words}]`; null where it has none. */
export function promised({ reply, figure, regions }, away) {
  const places = regions.boxes?.length ?? (regions.grid?.[0] ?? 0) * (regions.grid?.[1] ?? 0);
  const share = (weights, taken, count) => (weights?.length === count && taken.length ? summed(weights, taken) : null);
  if (reply.phrases) {
    const map = reply.attention.find(({ axes }) => axes.join() === "phrases,regions");
    return reply.phrases.map(({ phrase }, index) => ({
      name: phrase,
      regions: share(map?.weights[index], away.regions, places),
      words: null,
    }));
  }
  return figure.panels
    .map(({ title, picture, words }) => ({
      name: title,
      regions: share(picture?.regions?.weights, away.regions, places),
      words: share(words?.weights, away.words, reply.words.length),
    }))
    .filter((step) => step.regions !== null || step.words !== null);
}

function summed(weights, places) {
  const total = weights.reduce((sum, each) => sum + each, 0);
  return total > 0 ? places.reduce((sum, place) => sum + (weights[place] ?? 0), 0) / total : 0;
}

/** The mean over steps of how much a kind had, null where no step says. */
export function whole(steps, kind) {
  const known = steps.map((step) => step[kind]).filter((share) => share !== null);
  return known.length ? known.reduce((sum, share) => sum + share, 0) / known.length : null;
}

/** In a sentence: what the map had promised, and what came of it. */
export function told(steps, away, effect) {
  const kinds = ["regions", "words"].filter((kind) => away[kind].length);
  const count = kinds.reduce((sum, kind) => sum + away[kind].length, 0);
  const without = `without ${count === 1 ? "it" : "them"} ${effect}.`;
  const gave = kinds.filter((kind) => whole(steps, kind) !== null).map((kind) => given(steps, kind, away[kind].length));
  if (!gave.length) return `No map weighs ${listed(kinds.map((kind) => these(away[kind].length, kind)))}; ${without}`;
  const [maps, their] = steps.length > 1 ? ["The maps", "their"] : ["The map", "its"];
  return `${maps} gave ${listed(gave)} of ${their} weight${inParts(steps, kinds)}; ${without}`;
}

const given = (steps, kind, count) => `${these(count, kind)} ${weight(whole(steps, kind))}`;

function these(count, kind) {
  return count === 1 ? `this ${kind.slice(0, -1)}` : `these ${counted(count, kind.slice(0, -1))}`;
}

function inParts(steps, kinds) {
  if (kinds.length > 1 || steps.length < 2 || steps.length > INLINE) return "";
  const share = (step) => (step[kinds[0]] === null ? "none" : weight(step[kinds[0]]));
  return ` (${steps.map((step) => `${step.name}: ${share(step)}`).join(", ")})`;
}

/** The shares of each step as a table that can be opened. */
export function sharesTable(steps) {
  const kinds = ["regions", "words"].filter((kind) => whole(steps, kind) !== null);
  if (!kinds.length || steps.length < 2) return null;
  const cell = (share) => (share === null ? "" : weight(share));
  const rows = steps.map((step) => [step.name, ...kinds.map((kind) => cell(step[kind]))]);
  const all = ["in all", ...kinds.map((kind) => cell(whole(steps, kind)))];
  const summary = element("summary", { "data-key": "shares" }, "Share of each map on what was taken away");
  return element("details", {}, summary, table(["", ...kinds], [...rows, all], { class: "compared" }));
}

/** What was taken away, in words. */
export function takenAway(away) {
  return listed(
    ["regions", "words"]
      .filter((kind) => away[kind].length)
      .map((kind) => counted(away[kind].length, kind.slice(0, -1))),
  );
}
