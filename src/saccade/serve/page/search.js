/** What an index has that fits the words, the image or both: the hits with their maps, unlikely ones marked. */

import { showFigure } from "/viewer/viewer.js";
import { asked } from "./api.js";
import { tools } from "./downloads.js";
import { element, renew, table } from "./elements.js";
import { percent, short } from "./numbers.js";
import { Pane } from "./pane.js";
import { withImage } from "./picture.js";
import { oneLine } from "./state.js";

const NOTHING = "Nothing here is likely to be what was asked for: these come nearest.";

/** A column of an index; `page` is told where an image was uploaded again. */
export class SearchColumn extends Pane {
  constructor(index, run, page) {
    super(index, { name: run.index, about: `${run.count.toLocaleString("en")} ${run.holds} indexed by ${run.by}` });
    Object.assign(this, { run, page });
    this.room = element("div", { class: "view" });
    this.result = element("div", { class: "result" });
    this.files = element("div", {});
    this.body.append(this.room, element("div", { class: "side" }, this.result, this.files));
  }

  /** Show what the state finds in this index. */
  refresh(state) {
    const text = oneLine(state.text);
    const image = state.withImage ? state.image : null;
    if (!text && !image) return this.clear("Type what to look for and press Enter, or search by the image.");
    const fields = { index: this.run.index, as: "figure", ...(text && { text }), ...(state.options.top && { top: Number(state.options.top) }) };
    return this.work(`Searching ${this.run.index}`, async (options) => {
      const ask = (own) => asked("/api/search", { ...fields, ...own }, options);
      this.draw(await withImage(image, null, ask, this.page.renewed), fields, image);
    });
  }

  draw(answer, fields, image) {
    const { data } = answer;
    if (this.answer !== answer) {
      this.view?.destroy();
      this.room.replaceChildren();
      this.view = data.figure ? showFigure(this.room, data.figure, { heading: 3 }) : null;
    }
    this.answer = answer;
    const unlikely = data.hits.filter((hit) => hit.unlikely).length;
    const heard = unlikely === data.hits.length && unlikely ? NOTHING : `${data.hits.length} found, the best ${data.hits[0]?.id ?? "none"}`;
    this.say([element("strong", {}, `${data.hits.length} hits`), unlikely ? ` ${unlikely} unlikely` : ""], `${this.name}: ${heard}`);
    const unknown = data.unknown_words ?? [];
    renew(this.result,
      unknown.length ? element("p", { class: "note", dir: "auto" }, `Never seen in training, so ignored: ${unknown.join(", ")}`) : null,
      unlikely && unlikely === data.hits.length ? element("p", { class: "note" }, NOTHING) : null,
      element("h3", {}, "Hits"),
      element("div", { class: "wide" }, this.hits(data.hits)));
    renew(this.files, tools({ action: "search", fields, image, answer, onError: (error) => this.fail(error) }));
  }

  hits(found) {
    const known = found.some((hit) => hit.share !== null && hit.share !== undefined);
    const headings = known ? ["", "score", "above", ""] : ["", "score", ""];
    const rows = found.map((hit) => [
      hit.id,
      short(hit.score),
      ...(known ? [hit.share === null ? "" : percent(hit.share)] : []),
      hit.unlikely ? element("em", { class: "unlikely" }, "unlikely") : "",
    ]);
    return table(headings, rows, { class: "hits" });
  }

  clear(message) {
    this.wait(message);
    this.view?.destroy();
    this.view = this.answer = null;
    for (const part of [this.room, this.result, this.files]) part.replaceChildren();
  }
}
