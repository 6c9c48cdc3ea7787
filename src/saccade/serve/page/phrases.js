/** Phrases of a sentence chosen by hand: its words as buttons, and the same as a field. */

import { element, renew } from "./elements.js";

/** The words of a sentence as spaces separate them. */
export const wordsOf = (sentence) => sentence.split(/\s+/).filter(Boolean);

/** Which words each phrase is, as [first, end); null for one that the sentence does not have. */
export function spansOf(words, phrases) {
  const taken = new Set();
  return phrases.map((phrase) => {
    const wanted = wordsOf(phrase.toLowerCase());
    for (let first = 0; wanted.length && first + wanted.length <= words.length; first += 1) {
      const places = wanted.map((_, offset) => first + offset);
      if (places.some((place) => taken.has(place))) continue;
      if (!wanted.every((word, offset) => bare(words[first + offset]) === bare(word))) continue;
      places.forEach((place) => taken.add(place));
      return [first, first + wanted.length];
    }
    return null;
  });
}

const bare = (word) => word.toLowerCase().replace(/^[^\p{L}\p{N}]+|[^\p{L}\p{N}]+$/gu, "");

/** The phrases, as [first, end), after a click on a word: it joins the one beside it, starts one, or leaves its own. */
export function clicked(spans, place) {
  const inside = spans.find(([first, end]) => first <= place && place < end);
  const rest = spans.filter((span) => span !== inside);
  if (inside) {
    const parts = [
      [inside[0], place],
      [place + 1, inside[1]],
    ];
    return sorted([...rest, ...parts.filter(([first, end]) => first < end)]);
  }
  const before = rest.find(([, end]) => end === place);
  const after = before ? undefined : rest.find(([first]) => first === place + 1);
  const joined = [before ? before[0] : place, after ? after[1] : place + 1];
  return sorted([...rest.filter((span) => span !== before && span !== after), joined]);
}

const sorted = (spans) => spans.sort((a, b) => a[0] - b[0]);
const textOf = (words, [first, end]) => words.slice(first, end).map(bare).join(" ");

/** The phrases of a field, which commas separate. */
export const entered = (text) =>
  text
    .split(",")
    .map((phrase) => phrase.trim())
    .filter(Boolean);

/** The phrases as buttons and as a field, for the sentence at hand; `onChange()` when they have changed. */
export class Phrases {
  constructor(parent, onChange) {
    this.parent = parent;
    this.onChange = onChange;
    this.words = [];
    this.pressed = [];
    this.buttons = element("p", {
      class: "choosable",
      role: "group",
      "aria-label": "Words of the sentence: press those of a phrase",
    });
    this.field = element("input", {
      id: "phrase",
      type: "text",
      autocomplete: "off",
      input: () => this.draw(),
      change: onChange,
    });
    const hint = element(
      "span",
      { class: "hint", id: "phrase-hint" },
      "Press words to join them into phrases; none: the model notices them itself.",
    );
    this.field.setAttribute("aria-describedby", "phrase-hint");
    const label = element("label", { for: "phrase" }, "Phrases to find, separated by commas");
    parent.append(this.buttons, element("p", { class: "field" }, label, " ", this.field, hint));
  }

  get value() {
    return entered(this.field.value);
  }

  /** Which words each phrase is, null for one that is not there: those pressed, where the field says the same. */
  get spans() {
    const texts = this.pressed.map((span) => textOf(this.words, span));
    return texts.join() === this.value.join() ? this.pressed : spansOf(this.words, this.value);
  }

  /** Those that the sentence has. */
  get found() {
    const { spans } = this;
    return this.value.filter((_, index) => spans[index]);
  }

  /** Show the phrases of a sentence. */
  show(sentence, phrases) {
    const words = wordsOf(sentence);
    if (words.join(" ") !== this.words.join(" ")) this.pressed = [];
    this.words = words;
    this.field.value = phrases.join(", ");
    this.draw();
  }

  draw() {
    const { spans } = this;
    const numberOf = (place) => spans.findIndex((span) => span && span[0] <= place && place < span[1]);
    renew(
      this.buttons,
      this.words.map((word, place) => this.button(word, place, numberOf(place))),
    );
  }

  button(word, place, number) {
    return element(
      "button",
      {
        type: "button",
        "aria-pressed": String(number >= 0),
        "data-key": `phrase-word-${place}`,
        class: number >= 0 ? `word-button color-${number % 6}` : "word-button",
        click: () => this.toggle(place),
      },
      word,
    );
  }

  toggle(place) {
    this.pressed = clicked(this.spans.filter(Boolean), place);
    this.field.value = this.pressed.map((span) => textOf(this.words, span)).join(", ");
    this.draw();
    this.onChange();
  }
}
