/** What a model answers: the best answers as bars, and how they differ without what was taken away. */

import { bar, element, table } from "./elements.js";
import { lastMap } from "./figures.js";
import { percent, points } from "./numbers.js";

const sure = (reply, answer) => reply.answers.find((each) => each.answer === answer)?.probability;

/** Whether `compared` shows all that `result` does. */
export const comparesAll = true;

/** The panel shown first: the last map, from which the answer came. */
export const firstPanel = lastMap;

/** The best answer, and how probable it is. */
export function headline(reply) {
  return [element("strong", { dir: "auto" }, reply.answer), ` ${percent(reply.answers[0].probability)}`];
}

/** The headline of both, before and after. */
export const change = (before, after) => [...headline(before), " → ", ...headline(after)];

/** The answers as bars, best first. */
export function result({ reply }) {
  const rows = reply.answers.map(({ answer, probability }) =>
    element(
      "li",
      {},
      element("span", { dir: "auto" }, answer),
      bar(probability),
      element("b", {}, percent(probability)),
    ),
  );
  return [element("h3", {}, "Answers"), element("ol", { class: "shares" }, rows)];
}

/** The probabilities before and after, with their difference; what is probable on either side comes first. */
export function compared(before, after) {
  const most = new Map();
  for (const { answer, probability } of [...before.answers, ...after.answers]) {
    most.set(answer, Math.max(probability, most.get(answer) ?? 0));
  }
  const named = [...most.keys()].sort((a, b) => most.get(b) - most.get(a));
  const rows = named.map((answer) => {
    const [was, is] = [sure(before, answer), sure(after, answer)];
    return [answer, cell(was, before), cell(is, after), was === undefined || is === undefined ? "" : points(was, is)];
  });
  return table(["answer", "before", "after", "points"], rows, { class: "compared" });
}

/** What an answer that is not among those given has at the most. */
const bound = (reply) => percent(reply.answers.at(-1).probability).replace("< ", "");

function cell(share, reply) {
  if (share === undefined) return `< ${bound(reply)}`;
  return element("span", { class: "share-cell" }, bar(share), element("b", {}, percent(share)));
}

/** What came of it, in words that go on behind "without them". */
export function effect(before, after) {
  const [was, is] = [before.answers[0].probability, sure(after, before.answer)];
  const verb = is === undefined || is < was - 0.0005 ? "falls" : is > was + 0.0005 ? "rises" : "stays";
  const to = is === undefined ? `to less than ${bound(after)}` : `to ${percent(is)}`;
  const moved = verb === "stays" ? `stays at ${percent(was)}` : `${verb} from ${percent(was)} ${to}`;
  const told = after.answer === before.answer ? "the answer stays the same" : `the answer becomes “${after.answer}”`;
  return `“${before.answer}” ${moved}, and ${told}`;
}
