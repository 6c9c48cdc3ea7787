/** How well sentences fit an image: their scores, ranked, and the score without what was taken away. */

import { element, table } from "./elements.js";
import { lastMap } from "./figures.js";
import { short, signed } from "./numbers.js";

/** The panel shown first: the last map. */
export const firstPanel = lastMap;

/** The score. */
export function headline(reply) {
  return ["score ", element("strong", {}, short(reply.score))];
}

/** The headline of both, before and after. */
export const change = (before, after) => [...headline(before), " → ", element("strong", {}, short(after.score))];

/** The sentences by their scores, best first, each of which can be looked at; nothing of a single one. */
export function result({ ranked, onSentence }) {
  if (ranked.length < 2) return [];
  const rows = ranked.map(({ sentence, place, score, shown, error }) =>
    element(
      "li",
      {},
      element(
        "button",
        {
          type: "button",
          class: "text",
          "aria-current": shown && "true",
          "data-key": `sentence-${place}`,
          click: () => onSentence(place),
          dir: "auto",
        },
        sentence,
      ),
      element("b", {}, score === null ? error || "…" : short(score)),
    ),
  );
  return [element("h3", {}, "Sentences by their score"), element("ol", { class: "captions" }, rows)];
}

/** The scores before and after, and those of the steps, with their differences. */
export function compared(before, after) {
  const row = (name, was, is) => [name, short(was), short(is), signed(is - was, Math.abs(is - was) < 1 ? 3 : 1)];
  const steps =
    before.parts.length < 2 ? [] : before.parts.map((part, step) => row(`step ${step}`, part, after.parts[step]));
  return table(["", "before", "after", "difference"], [row("score", before.score, after.score), ...steps], {
    class: "compared",
  });
}

/** What came of it, in words that go on behind "without them". */
export function effect(before, after) {
  if (after.score === before.score) return `the score stays ${short(before.score)}`;
  const verb = after.score < before.score ? "falls" : "rises";
  return `the score ${verb} from ${short(before.score)} to ${short(after.score)}`;
}
