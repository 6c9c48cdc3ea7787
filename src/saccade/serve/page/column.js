/** What one run says about the image: its maps, its answer, and both without what was taken away. */

import { asked } from "./api.js";
import { beginningWith } from "./captioning.js";
import { tools } from "./downloads.js";
import { element, renew } from "./elements.js";
import { bare, show } from "./figures.js";
import { Pane } from "./pane.js";
import { withImage } from "./picture.js";
import { ranking } from "./ranking.js";
import { fieldsOf, missing, withoutFields } from "./requests.js";
import { oneLine, sentences } from "./state.js";
import { TASKS } from "./tasks.js";
import { promised, sharesTable, takenAway, told } from "./without.js";

const plain = (nodes) => nodes.map((node) => node.textContent ?? node).join("");

/** A column of a run; `page` changes the state that `refresh` shows. */
export class Column extends Pane {
  constructor(index, run, page) {
    super(index, {
      name: run.name,
      about: [run.model, run.task, run.trained_on && `trained on ${run.trained_on}`].filter(Boolean).join(" · "),
    });
    Object.assign(this, { run, page, task: TASKS[run.task], shown: {}, past: [] });
    this.room = element("div", { class: "view" });
    this.notes = element("div", { class: "notes" });
    this.result = element("div", { class: "result" });
    this.without = element("div", { class: "without" });
    this.after = element("div", { class: "view after" });
    this.files = element("div", {});
    this.body.append(
      this.room,
      element("div", { class: "side" }, this.notes, this.result, this.without, this.after, this.files),
    );
  }

  /** Show what the state says of this run. */
  refresh(state) {
    const own = state.columns[this.index];
    const lacking = missing(this.run, state);
    if (lacking) return this.clear(lacking);
    return this.work(`Asking ${this.run.name}`, async (options) => {
      const ask = (fields) =>
        withImage(
          state.image,
          this.run.name,
          (image) => asked(`/api/${this.run.action}`, { ...fields, ...image }, options),
          this.page.renewed,
        );
      const { before, fields, extra } = await this.first(ask, state, own);
      this.draw(before, own, { ...extra, fields, image: state.image });
      const changed = withoutFields(fields, own);
      if (changed) this.drawWithout(await ask(changed), own, changed);
      else this.drawWhole(fields);
    });
  }

  /** What the run says with everything, the fields that it was asked with, and what else the task shows. */
  async first(ask, state, own) {
    if (this.run.task === "captioning") {
      const list = await ask(fieldsOf(this.run, state));
      const fields = fieldsOf(this.run, state, { begin: own.begin });
      return {
        before: own.begin ? await ask(fields) : list,
        fields,
        extra: { list: list.data.reply, begin: own.begin },
      };
    }
    if (this.run.task !== "matching") {
      const fields = fieldsOf(this.run, state);
      return { before: await ask(fields), fields, extra: {} };
    }
    const lines = sentences(state.text);
    const ranked = await ranking(lines, (text) => ask(fieldsOf(this.run, state, { text, as: "reply" })), own.chosen);
    const chosen = ranked.find((each) => each.shown);
    const fields = fieldsOf(this.run, state, { text: chosen?.sentence ?? oneLine(state.text) });
    return { before: await ask(fields), fields, extra: { ranked } };
  }

  /** Draw what was said with everything; the view stays where it already shows that, and the keyboard with it. */
  draw(before, own, { fields, image, ...extra }) {
    const away = { regions: own.regions, words: own.words };
    const key = JSON.stringify(away);
    if (this.shown.before !== before || this.shown.away !== key) {
      this.view = show(this.room, bare(before.data.figure), this.viewing(before, own, away));
    } else {
      this.view.select(this.panelOf(own, before));
    }
    if (this.shown.before !== before) this.past = [];
    this.shown = { ...this.shown, before, away: key, image, fields };
    const { reply } = before.data;
    const unknown = reply.unknown_words ?? [];
    renew(
      this.notes,
      unknown.length
        ? element("p", { class: "note", dir: "auto" }, `Never seen in training, so ignored: ${unknown.join(", ")}`)
        : null,
    );
    renew(
      this.result,
      this.task.result({
        reply,
        ...extra,
        id: `begin-${this.index}`,
        onBegin: (begin) => this.change({ begin, words: [], panel: null }),
        onSentence: (chosen) => this.change({ chosen, words: [], panel: null }),
        onPanel: (panel) => this.view.select(panel),
      }),
    );
  }

  panelOf(own, { data: { figure } }) {
    return own.panel ?? this.task.firstPanel(figure);
  }

  viewing(before, own, away) {
    const { reply } = before.data;
    const options = { ...this.reading(before), away, panel: this.panelOf(own, before) };
    options.onAway = (changed) => this.take(changed, { seen: true });
    options.onPanel = (panel) => {
      this.afterView?.select(panel);
      this.page.change(this.index, { panel }, { push: false, refresh: false });
    };
    if (this.run.task === "captioning") {
      options.onWord = (place, text) =>
        this.change({ begin: beginningWith(reply, place, text), words: [], panel: null });
    }
    return options;
  }

  /** How a view of an answer is read: where its regions are, and which words can be taken away. */
  reading({ data: { regions, reply } }) {
    return { heading: 0, regions, ...(this.run.text && { words: reply.words }) };
  }

  change(changes) {
    this.page.change(this.index, changes);
  }

  /** Take these regions and words away, and no others; `seen` where the view shows that already. */
  take({ regions, words }, { seen = false } = {}) {
    if (!this.shown.before) return;
    this.past.push(JSON.parse(this.shown.away));
    // Not drawn again, so that the keyboard stays where it is.
    if (seen) this.shown.away = JSON.stringify({ regions, words });
    this.change({ regions, words });
  }

  /** Take away what was before the last change, or nothing where that is not known any more. */
  undo() {
    const last = this.past.pop() ?? { regions: [], words: [] };
    this.change(last);
  }

  drawWhole(fields) {
    const { before } = this.shown;
    this.afterView?.destroy();
    this.afterView = null;
    this.after.hidden = true;
    this.shown.after = null;
    this.result.hidden = false;
    const hint = this.run.text
      ? "Click regions or words away to see what the answer owes to them."
      : "Click regions away to see what the caption owes to them.";
    renew(this.without, element("p", { class: "hint" }, hint));
    const headline = this.task.headline(before.data.reply);
    this.say(headline, `${this.run.name}: ${plain(headline)}`);
    this.offer(before, fields);
  }

  /** Draw what is said without what was taken away beside what was said with it. */
  drawWithout(after, own, fields) {
    const { before } = this.shown;
    const away = { regions: own.regions, words: own.words };
    const [was, is] = [before.data.reply, after.data.reply];
    const steps = promised(before.data, away);
    const sentence = told(steps, away, this.task.effect(was, is));
    // The comparison has it all.
    this.result.hidden = Boolean(this.task.comparesAll);
    renew(
      this.without,
      element("h3", {}, `Without ${takenAway(away)}`),
      element("p", { class: "sentence", dir: "auto" }, sentence),
      element(
        "div",
        { class: "across", tabindex: 0, role: "group", "aria-label": "Before and after" },
        this.task.compared(was, is),
      ),
      sharesTable(steps),
      element(
        "p",
        { class: "buttons" },
        element("button", { type: "button", "data-key": "undo", click: () => this.undo() }, "Undo"),
        element(
          "button",
          { type: "button", "data-key": "restore", click: () => this.take({ regions: [], words: [] }) },
          "Restore all",
        ),
      ),
    );
    if (this.shown.after !== after) {
      this.after.hidden = false;
      this.afterView = show(this.after, bare(after.data.figure), {
        ...this.reading(after),
        away,
        panel: this.view.selected,
      });
      this.shown.after = after;
    }
    this.say(this.task.change(was, is), sentence);
    this.offer(after, fields);
  }

  offer(answer, fields) {
    const { action } = this.run;
    renew(this.files, tools({ action, fields, image: this.shown.image, answer, onError: (error) => this.fail(error) }));
  }

  /** Show nothing but that something is missing. */
  clear(message) {
    this.wait(message);
    this.view?.destroy();
    this.afterView?.destroy();
    this.view = this.afterView = null;
    this.shown = {};
    for (const part of [this.room, this.notes, this.result, this.without, this.after, this.files])
      part.replaceChildren();
  }
}
