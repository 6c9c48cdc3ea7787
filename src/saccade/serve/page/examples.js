/** The runs' own test examples as pictures to choose from: each brings its text along, and what is expected. */

import { get } from "./api.js";
import { element, renew } from "./elements.js";
import { examplePath } from "./picture.js";

const FIRST = 12;

/** The examples of the chosen runs; `onChoose(run, example)` when one is taken, `onError(error)` where none comes. */
export class Examples {
  constructor(parent, { onChoose, onError }) {
    Object.assign(this, { parent, onChoose, onError, found: new Map(), counts: new Map(), runs: [], chosen: null });
  }

  /** Show those of the runs, one group for each that was trained on data of its own; `image` is the chosen one. */
  async show(runs, image) {
    // Of runs on the same data those of one that reads bring a text along.
    const groups = runs.filter((run) => run.examples > 0).sort((a, b) => Boolean(b.text) - Boolean(a.text));
    this.runs = groups.filter(
      (run, index) => groups.findIndex((other) => other.trained_on === run.trained_on) === index,
    );
    this.chosen = image?.example === undefined ? null : image;
    this.draw();
    const needed = (run) => (this.chosen?.run === run.name ? this.chosen.example + 1 : 0);
    await Promise.all(
      this.runs.map((run) => this.load(run, Math.max(FIRST, needed(run), this.counts.get(run.name) ?? 0))),
    );
  }

  /** The example of that run and number, undefined where it is not among those that are shown. */
  of(run, number) {
    return this.found.get(run)?.find((example) => example.number === number);
  }

  async load(run, count) {
    const known = this.found.get(run.name);
    if (known && this.counts.get(run.name) >= count) return;
    this.counts.set(run.name, count);
    try {
      const { examples } = await get(`/api/runs/${encodeURIComponent(run.name)}/examples?count=${count}`);
      this.found.set(run.name, examples);
      this.draw();
    } catch (error) {
      this.counts.delete(run.name);
      this.onError(error);
    }
  }

  draw() {
    const groups = this.runs.filter((run) => this.found.get(run.name)?.length);
    renew(
      this.parent,
      groups.flatMap((run, index) => this.group(run, index > 0)),
    );
  }

  /** The heading, the pictures and a button for more; those of a further run are opened by a click. */
  group(run, further) {
    const examples = this.found.get(run.name);
    const more = examples.length >= this.counts.get(run.name) && examples.length < run.examples;
    const held = [
      element(
        "ul",
        { class: "thumbnails" },
        examples.map((example) => element("li", {}, this.button(run, example))),
      ),
      more &&
        element(
          "button",
          { type: "button", class: "plain", "data-key": `more-${run.name}`, click: () => this.more(run) },
          "More examples",
        ),
    ].filter(Boolean);
    if (!further)
      return [
        element("h2", {}, this.runs.length > 1 ? `Examples of ${run.name}` : "Or one of the test examples"),
        ...held,
      ];
    const open = this.chosen?.run === run.name || this.opened === run.name;
    const toggle = (event) => {
      this.opened = event.target.open ? run.name : null;
    };
    return [
      element(
        "details",
        { open, toggle },
        element("summary", { "data-key": `examples-${run.name}` }, `Examples of ${run.name}`),
        held,
      ),
    ];
  }

  more(run) {
    this.load(run, Math.min(run.examples, 2 * this.counts.get(run.name)));
  }

  button(run, example) {
    const pressed = this.chosen?.run === run.name && this.chosen.example === example.number;
    const image = element("img", {
      src: examplePath(run.name, example.number),
      alt: "",
      loading: "lazy",
      width: 96,
      height: 96,
    });
    return element(
      "button",
      {
        type: "button",
        "aria-pressed": String(pressed),
        "data-key": `example-${run.name}-${example.number}`,
        title: example.text || null,
        click: () => this.onChoose(run, example),
      },
      image,
      element("span", { dir: "auto" }, example.text || `Example ${example.number}`),
    );
  }
}
