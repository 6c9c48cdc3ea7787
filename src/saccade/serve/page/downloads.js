/** What is shown as files, under names that are always the same, and as the command line that does it. */

import { post } from "./api.js";
import { element } from "./elements.js";
import { withImage } from "./picture.js";

const FILES = { png: "PNG", html: "HTML" };

/**
 * Buttons that save an answer, and its command line. `answer` is `{data, text}` as the server gave it, `fields` and
 * `image` what it was asked with; `forms` are the files that it makes of it; `onError(error)` where it does not.
 */
export function tools({ action, fields, image, answer, forms = Object.keys(FILES), onError }) {
  const name = `saccade-${action}`;
  const drawn = forms.map((form) =>
    button(FILES[form], form, () => {
      const made = (own) => post(`/api/${action}`, { ...fields, ...own, as: form }).then((response) => response.blob());
      return withImage(image, fields.run, made, () => {})
        .then((blob) => save(blob, `${name}.${form}`))
        .catch(onError);
    }),
  );
  const json = button("JSON", "json", () =>
    save(new Blob([answer.text], { type: "application/json" }), `${name}.json`),
  );
  return element(
    "div",
    { class: "files" },
    element("span", { class: "hint" }, "Download"),
    ...drawn,
    json,
    command(answer.data.command),
  );
}

function button(label, key, save) {
  return element(
    "button",
    { type: "button", class: "plain", "data-key": `save-${key}`, "aria-label": `Download as ${label}`, click: save },
    label,
  );
}

/** Save bytes as a file of the browser's. */
export function save(blob, name) {
  const link = element("a", { href: URL.createObjectURL(blob), download: name });
  link.click();
  // Not at once: the browser may not have begun to read.
  setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
}

function command(line) {
  if (!line) return null;
  const code = element("code", { tabindex: "0", "aria-label": "Command line that does the same" }, line);
  const told = element("span", { class: "hint", role: "status" });
  const copy = element(
    "button",
    {
      type: "button",
      class: "plain",
      "data-key": "copy",
      click: async () => {
        told.textContent = (await copied(line, code)) ? "copied" : "press Ctrl+C";
      },
    },
    "Copy",
  );
  return element(
    "details",
    { class: "command" },
    element("summary", { "data-key": "command" }, "The same from the command line"),
    element("pre", {}, code),
    element("p", {}, copy, " ", told),
  );
}

/** Whether a text is in the clipboard now; where it may not be, what shows it is selected. */
async function copied(text, shown) {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    getSelection().selectAllChildren(shown);
    return false;
  }
}
