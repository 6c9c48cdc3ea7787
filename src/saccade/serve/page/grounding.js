/** Where phrases are: their boxes in colours, and whether they move without what was taken away. */

import { element, table } from "./elements.js";
import { counted } from "/viewer/numbers.js";
import { percent, points } from "./numbers.js";

const SAME = 0.5;
const swatch = (color) => element("i", { class: `swatch color-${color % 6}`, "aria-hidden": "true" });

/** Whether `compared` shows all that `result` does. */
export const comparesAll = true;

/** The panel shown first: the image with all boxes. */
export const firstPanel = () => 0;

/** How many phrases were found. */
export function headline(reply) {
  return [element("strong", {}, counted(reply.phrases.length, "phrase")), " found"];
}

/** The headline of both: how many boxes are elsewhere without what was taken away. */
export function change(before, after) {
  const { elsewhere, lost } = differences(before, after);
  const parts = [elsewhere && `${boxes(elsewhere)} elsewhere`, lost && `${lost} not noticed`].filter(Boolean);
  return [...headline(before), ` → ${parts.join(", ") || "the same boxes"}`];
}

/** The phrases in the colours of their boxes, with the share of the best region; a press shows a phrase's map. */
export function result({ reply, onPanel }) {
  const rows = reply.phrases.map(({ phrase, scores }, index) =>
    element(
      "li",
      {},
      element(
        "button",
        { type: "button", class: "text", "data-key": `phrase-${index}`, click: () => onPanel(index + 1), dir: "auto" },
        swatch(index),
        phrase,
      ),
      element("b", {}, percent(scores[0])),
    ),
  );
  return [element("h3", {}, "Phrases and the share of their best region"), element("ol", { class: "captions" }, rows)];
}

/** Each phrase before and after: its share, and how far its box has moved. */
export function compared(before, after) {
  const rows = pairs(before, after).map(([was, is, index]) => [
    element("span", {}, swatch(index), was.phrase),
    percent(was.scores[0]),
    is ? percent(is.scores[0]) : "not noticed",
    is ? points(was.scores[0], is.scores[0]) : "",
    is ? moved(was, is) : "",
  ]);
  return table(["phrase", "before", "after", "points", "box"], rows, { class: "compared" });
}

function pairs(before, after) {
  return before.phrases.map((was, index) => {
    const same = after.phrases.find((is) => is.words[0] === was.words[0] && is.words[1] === was.words[1]);
    return [was, same, index];
  });
}

function moved(was, is) {
  const shared = iou(was.boxes[0], is.boxes[0]);
  return shared > 0.995 ? "same" : `${shared < SAME ? "moved" : "shifted"}, IoU ${shared.toFixed(2)}`;
}

/** The intersection of two boxes over their union. */
export function iou(a, b) {
  const width = Math.min(a[2], b[2]) - Math.max(a[0], b[0]);
  const height = Math.min(a[3], b[3]) - Math.max(a[1], b[1]);
  const shared = Math.max(0, width) * Math.max(0, height);
  const area = ([left, top, right, bottom]) => (right - left) * (bottom - top);
  const union = area(a) + area(b) - shared;
  return union > 0 ? shared / union : 0;
}

/** How many boxes are elsewhere, and how many phrases were not noticed any more. */
function differences(before, after) {
  const both = pairs(before, after);
  const lost = both.filter(([, is]) => !is).length;
  const elsewhere = both.filter(([was, is]) => is && iou(was.boxes[0], is.boxes[0]) < SAME).length;
  return { both, lost, elsewhere };
}

const boxes = (number) => (number === 1 ? "1 box" : `${number} boxes`);

/** What came of it, in words that go on behind "without them". */
export function effect(before, after) {
  const { both, lost, elsewhere } = differences(before, after);
  const [was, is] = both[0];
  const first = is
    ? `“${was.phrase}” has ${percent(is.scores[0])} instead of ${percent(was.scores[0])}`
    : `“${was.phrase}” is not noticed any more`;
  const moved = elsewhere
    ? `${boxes(elsewhere)} of ${both.length} ${elsewhere === 1 ? "is" : "are"} elsewhere`
    : "no box is elsewhere";
  return `${first}, and ${moved}${lost > (is ? 0 : 1) ? `; ${lost} phrases are not noticed` : ""}`;
}
