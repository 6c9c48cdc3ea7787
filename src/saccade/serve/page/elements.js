/** Elements of the page, renewed without losing the keyboard's place. */

import { element } from "/viewer/dom.js";

export { element };

/**
 * Replace what an element holds; what had the focus, known by its `data-key`, has it again, and where that is gone the
 * heading of its column.
 */
export function renew(parent, ...children) {
  const key = parent.contains(document.activeElement) ? document.activeElement.dataset.key : undefined;
  parent.replaceChildren(...children.flat().filter((child) => child !== null && child !== undefined && child !== ""));
  if (key === undefined) return;
  const again =
    parent.querySelector(`[data-key="${CSS.escape(key)}"]`) ?? parent.closest(".column")?.querySelector("h2");
  again?.focus({ preventScroll: true });
}

/** A bar of a share between 0 and 1; the number stands beside it as text. */
export function bar(share, kind = "") {
  const shown = Math.min(1, Math.max(0, share)).toFixed(4);
  return element("i", { class: `share ${kind}`.trim(), "aria-hidden": "true", "--share": shown });
}

/** A table of rows of cells under their headings, the first cell of a row its heading; cells are texts or elements. */
export function table(headings, rows, attributes = {}) {
  const head = element(
    "tr",
    {},
    headings.map((heading) => (heading ? element("th", { scope: "col" }, heading) : element("td", {}))),
  );
  const body = rows.map(([first, ...cells]) =>
    element(
      "tr",
      {},
      element("th", { scope: "row", dir: "auto" }, first),
      cells.map((cell) => element("td", {}, cell)),
    ),
  );
  return element("table", attributes, element("thead", {}, head), element("tbody", {}, body));
}
