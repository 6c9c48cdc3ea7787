/** What a model writes: the best captions, how one of them goes on from a word, and what becomes of it. */

import { element } from "./elements.js";
import { probability } from "./numbers.js";

const WITHOUT_WORDS = "(a caption without words)";
const readable = (caption) => (caption.trim() ? caption : WITHOUT_WORDS);

/** The panel shown first: the image. */
export const firstPanel = () => 0;

/** The caption. */
export function headline(reply) {
  return [element("strong", { dir: "auto" }, readable(reply.caption))];
}

/** The headline where something was taken away: the same, for two captions are too long to stand beside each other. */
export const change = headline;

/**
 * The best captions, each of which can be looked at, and a field for how one begins. `list` is the reply whose captions
 * they are, `begin` what the one that is shown was told to begin with, `onBegin(text)` starts another.
 */
export function result({ reply, list, begin, onBegin, id }) {
  const best = { caption: list.caption, log_probability: list.log_probability };
  const rows = [best, ...list.alternatives].map(({ caption, log_probability: logarithm }, index) => {
    const shown = caption === reply.caption;
    const choose = () => onBegin(index === 0 ? "" : caption);
    const button = element(
      "button",
      {
        type: "button",
        class: "text",
        "aria-current": shown && "true",
        "data-key": `caption-${index}`,
        click: choose,
        dir: "auto",
      },
      readable(caption),
    );
    return element("li", {}, button, element("b", {}, probability(logarithm)));
  });
  const continued = begin && ![best, ...list.alternatives].some(({ caption }) => caption === begin);
  return [
    element("h3", {}, "Captions and their probabilities"),
    element("ol", { class: "captions" }, rows),
    ...(continued ? further(reply, begin, onBegin) : []),
    beginning(begin, onBegin, id),
  ];
}

function further(reply, begin, onBegin) {
  return [
    element(
      "p",
      {},
      "Continued from “",
      element("span", { dir: "auto" }, begin),
      "”: ",
      element("strong", { dir: "auto" }, readable(reply.caption)),
      ` ${probability(reply.log_probability)}`,
    ),
    element(
      "p",
      {},
      element(
        "button",
        { type: "button", class: "plain", "data-key": "best-caption", click: () => onBegin("") },
        "Back to the best caption",
      ),
    ),
  ];
}

function beginning(begin, onBegin, id) {
  const field = element("input", {
    id,
    type: "text",
    value: begin,
    autocomplete: "off",
    spellcheck: "false",
    "data-key": "begin",
    keydown: (event) => {
      if (event.key === "Enter" && !event.isComposing) onBegin(field.value.trim());
    },
  });
  const button = element(
    "button",
    { type: "button", "data-key": "continue", click: () => onBegin(field.value.trim()) },
    "Continue",
  );
  return element(
    "div",
    { class: "field" },
    element("label", { for: id }, "Begin the caption with"),
    element("div", { class: "joined" }, field, button),
  );
}

/** The words that a caption begins with once another stands at a place. */
export function beginningWith(reply, place, text) {
  return [...reply.words.slice(0, place), text.trim()].filter(Boolean).join(" ");
}

/** Both captions below each other, the words that only one of them has marked. */
export function compared(before, after) {
  const kept = common(before.words, after.words);
  const said = (reply, side) =>
    element(
      "dd",
      { dir: "auto" },
      reply.words.flatMap((word, place) => [
        kept.some((pair) => pair[side] === place) ? word : element("mark", {}, word),
        " ",
      ]),
      element("small", {}, ` ${probability(reply.log_probability)}`),
    );
  return element(
    "dl",
    { class: "compared" },
    element("dt", {}, "before"),
    said(before, 0),
    element("dt", {}, "after"),
    said(after, 1),
  );
}

/** The places of the longest common subsequence of two lists of words, as pairs. */
export function common(first, second) {
  const lengths = Array.from({ length: first.length + 1 }, () => Array(second.length + 1).fill(0));
  for (let i = first.length - 1; i >= 0; i -= 1) {
    for (let j = second.length - 1; j >= 0; j -= 1) {
      lengths[i][j] =
        first[i] === second[j] ? lengths[i + 1][j + 1] + 1 : Math.max(lengths[i + 1][j], lengths[i][j + 1]);
    }
  }
  const pairs = [];
  for (let i = 0, j = 0; i < first.length && j < second.length;) {
    if (first[i] === second[j]) pairs.push([i++, j++]);
    else if (lengths[i + 1][j] >= lengths[i][j + 1]) i += 1;
    else j += 1;
  }
  return pairs;
}

/** What came of it, in words that go on behind "without them". */
export function effect(before, after) {
  if (before.caption === after.caption) {
    const [was, is] = [before, after].map((reply) => probability(reply.log_probability));
    return `the caption stays the same, with probability ${is} instead of ${was}`;
  }
  return `the caption becomes “${readable(after.caption)}”`;
}
