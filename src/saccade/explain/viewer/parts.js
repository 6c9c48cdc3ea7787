/** The parts of a panel beside its image: bars, gauge, scale, words shaded, listing. */

import { element } from "./dom.js";
import { patternOf } from "./marks.js";
import { counted, scaled, scaleTop, shortText, weightText } from "./numbers.js";

/** What a picture shows, in words. */
export function altOf(picture, regions, outlines, away = 0) {
  const labels = outlines.map((outline) => outline.label).filter(Boolean).join(", ");
  const map = regions ? `${regions.name}, weights over the image: ${regions.said}` : picture.alt || "the image";
  const gone = away && `taken away: ${counted(away, "region")}`;
  return [map, labels && `outlined: ${labels}`, gone].filter(Boolean).join("; ");
}

/** The bars, the best first. */
export function bars(rows) {
  const row = ({ label, share, text }) =>
    element("li", { "--share": Math.min(1, share) }, element("span", { dir: "auto" }, label), element("i"),
      element("b", {}, text));
  return rows.length ? element("ol", { class: "bars" }, rows.map(row)) : null;
}

/** One small bar between its name and its number. */
export function gauge(bar) {
  if (!bar) return null;
  const { label, share, text } = bar;
  return element("p", { class: "gauge", "--share": Math.min(1, share) }, element("span", {}, label), element("i"),
    element("b", {}, text));
}

/** The scale of a heat map with its tick at the even share, and what the map says in words. */
export function scale(regions) {
  if (!regions) return null;
  const said = element("p", { class: "quiet" }, regions.said ?? "");
  if (regions.style !== "heat") return said;
  const top = scaleTop(regions.weights), even = 1 / regions.weights.length;
  return element("div", {},
    element("div", { class: "ramp", "aria-hidden": "true" }, element("i", { "--share": even / top })),
    element("p", { class: "ends" }, element("span", {}, "0"),
      element("span", {}, `tick: even share, ${shortText(even)}`), element("span", {}, shortText(top))),
    said);
}

/** The words with their shades and numbers, for reading. */
export function shadedWords(shaded) {
  if (!shaded) return null;
  const { words, weights, colors } = shaded;
  const places = weights ? scaled(weights) : words.map(() => 0);
  const word = (text, i) =>
    element("span", { class: "word", "--share": places[i], ...colorOf(colors?.[i]) }, element("span", {}, text),
      weights ? element("small", {}, weightText(weights[i], words.length)) : null);
  return element("p", { class: "words", dir: "auto" }, words.flatMap((text, i) => [word(text, i), " "]),
    weights ? element("small", { class: "even" }, `even share: ${shortText(1 / words.length)}`) : null);
}

/** The attributes that give a word the colour and the line of its outline; none for none. */
export function colorOf(color) {
  if (color === null || color === undefined) return {};
  return { "--color": `var(--outline-${color % 6})`, "data-pattern": patternOf(color) };
}

/** Further texts, each after its number, under their title. */
export function listing(found, heading) {
  if (!found) return [];
  const rows = found.rows.flatMap(([number, text]) =>
    [element("dt", {}, number), element("dd", { dir: "auto" }, text)]);
  return [element(heading, { class: "minor" }, found.title), element("dl", { class: "listing" }, rows)];
}
