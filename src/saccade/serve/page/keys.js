/** Keys of the page, listed under "?", and the theme, which is remembered. */

import { element } from "./elements.js";

// Where a key is a letter.
const FIELDS = "input:not([type=checkbox], [type=range], [type=radio]), textarea, select";
const THEMES = ["system", "light", "dark"];

/** A value of this browser's memory; null where it has none or may not be read. */
function remembered(name) {
  try {
    return localStorage.getItem(name);
  } catch {
    return null;
  }
}

function remember(name, value) {
  try {
    localStorage.setItem(name, value);
  } catch {
    // A browser that remembers nothing asks again the next time.
  }
}

/** Make a button go through the themes; the function that does the same. */
export function themes(button) {
  const show = (theme) => {
    document.documentElement.dataset.theme = theme;
    button.textContent = `Theme: ${theme}`;
  };
  const next = () => {
    const theme = THEMES[(THEMES.indexOf(document.documentElement.dataset.theme) + 1) % THEMES.length];
    remember("saccade-theme", theme);
    show(theme);
  };
  show(document.documentElement.dataset.theme ?? THEMES[0]);
  button.addEventListener("click", next);
  return next;
}

/** Listen for keys outside of fields; `actions` are `{key: [what it does in words, function]}`. */
export function keys(dialog, button, actions) {
  const open = () => {
    if (!dialog.open) dialog.showModal();
  };
  const all = { ...actions, "?": ["list these keys", open] };
  dialog.append(...listing(all, dialog));
  button.addEventListener("click", open);
  addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || event.isComposing || dialog.open) return;
    const typed = event.key !== "Escape" && (event.target.closest?.(FIELDS) || remembered("saccade-keys") === "off");
    const action = all[event.key];
    if (!action || typed) return;
    event.preventDefault();
    action[1]();
  });
}

function listing(actions, dialog) {
  const rows = Object.entries(actions).flatMap(([key, [what]]) => [
    element("dt", {}, element("kbd", {}, key)),
    element("dd", {}, what),
  ]);
  const fixed = [
    ["Enter", "ask, from any field"],
    ["Tab", "the next field, word or button"],
    ["arrow keys", "the next step, word or phrase, on the slider or the image"],
  ];
  const also = fixed.flatMap(([key, what]) => [element("dt", {}, element("kbd", {}, key)), element("dd", {}, what)]);
  const box = element("input", {
    type: "checkbox",
    id: "keys-on",
    checked: remembered("saccade-keys") !== "off",
    change: () => remember("saccade-keys", box.checked ? "on" : "off"),
  });
  return [
    element("h2", { id: "keys-title" }, "Keyboard"),
    element("dl", {}, rows, also),
    element("p", { class: "check" }, box, " ", element("label", { for: "keys-on" }, "Single keys outside of fields")),
    element("p", {}, element("button", { type: "button", click: () => dialog.close() }, "Close")),
  ];
}
