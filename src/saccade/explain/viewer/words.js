/** The line of words on the stage: they light regions, are lit by regions, can be taken away, or written anew. */

import { element, heard } from "./dom.js";
import { scaled, weightText } from "./numbers.js";
import { colorOf } from "./parts.js";
import { same } from "./state.js";

/** The line of a figure's words, and the form for another word where a caption may be continued; null without words. */
export function wordLine(state) {
  if (!state.words.length) return null;
  const words = state.words.map((text, i) => oneWord(state, text, i));
  const line = element("p", { class: "words", dir: "auto" }, words.flatMap(({ shown }) => [shown, " "]));
  const form = state.options.onWord ? anotherWord(state) : null;
  state.listen(() => {
    const numbers = numbersOf(state), places = numbers ? scaled(numbers) : null;
    words.forEach(({ refresh }, i) => refresh(numbers?.[i], places?.[i] ?? 0));
  });
  return element("div", { class: "line" }, line, form);
}

/** The weights that shade the words now: who looks at the region pointed at, or the panel's own. */
function numbersOf(state) {
  const region = state.shown?.region;
  if (region !== undefined && state.linked && state.sameRegions(state.maps)) return state.lookersOf(region);
  return state.shades;
}

function oneWord(state, text, i) {
  const active = Boolean(state.linked) || state.wordsGo || Boolean(state.options.onWord);
  const number = element("small"), note = heard("");
  const shown = element(active ? "button" : "span", {
    class: "word", ...colorOf(state.shaded?.colors?.[i]), ...(active ? listeners(state, i) : {}),
  }, element("span", {}, text), number, note);
  const refresh = (weight, share) => {
    const away = state.away.words.has(i), chosen = state.shown?.word === i || state.panelWord === i;
    shown.style.setProperty("--share", share);
    number.textContent = weight === undefined || weight === null ? "" : weightText(weight, state.words.length);
    note.textContent = away ? ", taken away" : "";
    shown.classList.toggle("gone", away);
    shown.classList.toggle("chosen", chosen);
    if (active) shown.setAttribute("aria-pressed", state.taking && state.wordsGo ? away : same(state.pin, { word: i }));
  };
  return { shown, refresh };
}

function listeners(state, i) {
  const point = () => state.point({ word: i }), leave = () => state.point(null);
  return {
    type: "button", "data-key": `word-${i}`, pointerenter: point, focus: point, pointerleave: leave, blur: leave,
    click: () => {
      if (state.taking && state.wordsGo) return state.toggle("words", i);
      if (state.panelOf(i) !== null) state.select(state.panelOf(i));
      state.pinned({ word: i });
    },
  };
}

/** A form for another word at the place of the word that is pinned or whose panel is shown. */
function anotherWord(state) {
  const asked = element("span"), field = element("input", { type: "text", "data-key": "another", dir: "auto" });
  let place = null;
  const form = element("form", {
    class: "another",
    submit: (event) => {
      event.preventDefault();
      if (place !== null && field.value.trim()) state.options.onWord(place, field.value.trim());
    },
  }, element("label", {}, asked, field), element("button", { "data-key": "continue" }, "Go on from here"));
  state.listen(() => {
    place = state.pin?.word ?? state.panelWord;
    form.hidden = place === null;
    if (place !== null) asked.textContent = `Instead of “${state.words[place]}”`;
  });
  return form;
}
