/** What an index has that fits the words, the image or both: the hits with their maps, unlikely ones marked. */

import { placed } from "/viewer/geometry.js";
import { drawPicture } from "/viewer/marks.js";
import { asked } from "./api.js";
import { tools } from "./downloads.js";
import { element, renew } from "./elements.js";
import { lastMap, show } from "./figures.js";
import { percent, short } from "./numbers.js";
import { Pane } from "./pane.js";
import { withImage } from "./picture.js";
import { oneLine } from "./state.js";

const NOTHING = "Nothing here is likely to be what was asked for: these come nearest.";
const SIDE = 160;

/** A column of an index; `page` changes the state that `refresh` shows. */
export class SearchColumn extends Pane {
  constructor(index, run, page) {
    super(index, { name: run.index, about: `${run.count.toLocaleString("en")} ${run.holds} · indexed by ${run.by}` });
    Object.assign(this, { run, page });
    this.room = element("div", { class: "view" });
    this.result = element("div", { class: "result" });
    this.files = element("div", {});
    this.body.append(this.room, element("div", { class: "side" }, this.result, this.files));
  }

  /** Show what the state finds in this index. */
  refresh(state) {
    const text = this.run.text ? oneLine(state.text) : "";
    const image = state.withImage || !this.run.text ? state.image : null;
    if (!text && !image) {
      const typed = "Type what to look for and press Enter, or search by the image.";
      return this.clear(this.run.text ? typed : "Choose an image to find sentences for.");
    }
    const top = state.options.top ? { top: Number(state.options.top) } : {};
    const fields = { index: this.run.index, as: "figure", ...(text && { text }), ...top };
    return this.work(`Searching ${this.run.index}`, async (options) => {
      const ask = (own) => asked("/api/search", { ...fields, ...own }, options);
      const answer = await withImage(image, null, ask, this.page.renewed);
      this.draw(answer, state.columns[this.index].chosen ?? 0);
      renew(this.files, tools({ action: "search", fields, image, answer, onError: (error) => this.fail(error) }));
    });
  }

  draw(answer, chosen) {
    const { hits, unknown_words: unknown, figure } = answer.data;
    const parts = partsOf(answer.data);
    const unlikely = hits.filter((hit) => hit.unlikely).length;
    const none = unlikely > 0 && unlikely === hits.length;
    const found = `${hits.length} found${unlikely ? `, ${unlikely} of them unlikely` : ""}`;
    if (this.answer !== answer) {
      renew(
        this.result,
        unknown.length
          ? element("p", { class: "note", dir: "auto" }, `Never seen in training, so ignored: ${unknown.join(", ")}`)
          : null,
        none ? element("p", { class: "note" }, NOTHING) : null,
        element("h3", {}, "Hits, best first"),
        element(
          "ol",
          { class: this.run.text ? "hits" : "hits said" },
          hits.map((hit, place) => this.hit(hit, place, parts[place], figure)),
        ),
      );
      this.say([element("strong", {}, found)], `${this.name}: ${none ? NOTHING : found}`);
    }
    this.answer = answer;
    this.result
      .querySelectorAll("button")
      .forEach((button, place) => button.setAttribute("aria-pressed", place === chosen));
    if (parts[chosen]) this.view = show(this.room, parts[chosen], { heading: 3, panel: lastMap(parts[chosen]) });
    else this.room.replaceChildren();
  }

  hit({ id, score, share, unlikely }, place, part, figure) {
    // Sentences are all about the same image, which stands beside them.
    const canvas =
      part && this.run.text ? element("canvas", { width: SIDE, height: SIDE, "aria-hidden": "true" }) : null;
    if (canvas) drawLast(canvas, part, figure);
    const above = share === null || share === undefined ? "" : `, above ${percent(share)} of all`;
    const choose = () => this.page.change(this.index, { chosen: place });
    return element(
      "li",
      {},
      element(
        "button",
        { type: "button", "data-key": `hit-${place}`, click: choose },
        canvas,
        element("span", {}, id),
        element("small", {}, `score ${short(score)}${above}`),
        unlikely ? element("span", { class: "unlikely" }, "unlikely") : null,
      ),
    );
  }

  clear(message) {
    this.wait(message);
    this.view?.destroy();
    this.view = this.answer = null;
    for (const part of [this.room, this.result, this.files]) part.replaceChildren();
  }
}

/** The figure of each hit, null for one whose image could not be read and that was left out. */
function partsOf({ hits, figure }) {
  const tables = { images: figure?.images, places: figure?.places };
  let next = 0;
  return hits.map((hit) => {
    const part = figure?.parts[next];
    if (part?.title !== hit.id) return null;
    next += 1;
    return { ...part, ...tables };
  });
}

/** Draw the last map of a hit, small. */
async function drawLast(canvas, part, figure) {
  const picture = part.panels.findLast((panel) => panel.picture)?.picture;
  const url = figure.images[picture.image];
  const bytes = Uint8Array.from(atob(url.slice(url.indexOf(",") + 1)), (character) => character.charCodeAt(0));
  const bitmap = await createImageBitmap(new Blob([bytes], { type: "image/jpeg" }));
  const regions = picture.regions && placed(picture.regions, figure.places);
  drawPicture(canvas, bitmap, { side: SIDE, density: 2, regions });
}
