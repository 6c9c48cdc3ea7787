/** What a click on a word or region does, and how everything that was taken away comes back. */

import { element } from "./dom.js";
import { counted } from "./numbers.js";

let groups = 0;

/** The switch between looking and taking away; null for a view that is only read. */
export function tools(state) {
  if (!state.options.onAway) return null;
  const name = `saccade-click-${groups += 1}`;
  const choice = (taking, label) => {
    const change = () => state.change({ taking, hover: null, pin: null });
    const radio = element("input", { type: "radio", name, "data-key": `taking-${taking}`, change });
    radio.checked = state.taking === taking;
    return element("label", {}, radio, label);
  };
  const back = element("button", {
    type: "button", "data-key": "back", click: () => state.takeAway({ regions: new Set(), words: new Set() }),
  }, "Put everything back");
  const count = element("span", { class: "quiet", role: "status" });
  state.listen(() => {
    const { regions, words } = state.away;
    const said = [[regions.size, "region"], [words.size, "word"]].filter(([size]) => size);
    const parts = said.map(([size, what]) => counted(size, what)).join(" and ");
    count.textContent = parts ? `Taken away: ${parts}` : "Nothing is taken away";
    back.disabled = !parts;
  });
  return element("div", { class: "tools" },
    element("fieldset", {}, element("legend", {}, "A click"), choice(true, "takes away"), choice(false, "pins")),
    count, back);
}
