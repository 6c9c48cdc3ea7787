/** One column of the answers: its name, what is under way, what went wrong, and the room for what was said. */

import { ApiError, isAbort } from "./api.js";
import { element, renew } from "./elements.js";

/** A column. Those of tasks and of searches fill its `body`. */
export class Pane {
  constructor(index, { name, about }) {
    this.index = index;
    this.name = name;
    const id = `column-${index}`;
    this.headline = element("p", { class: "headline" });
    this.live = element("p", { class: "heard", "aria-live": "polite" });
    this.alert = element("div", { class: "alert", role: "alert" });
    this.progress = element("div", { class: "progress", role: "status" });
    this.missing = element("p", { class: "missing" });
    this.body = element("div", { class: "body" });
    const title = element("h2", { id, dir: "auto", tabindex: -1 }, name);
    this.element = element(
      "section",
      { class: "column", "aria-labelledby": id },
      element("header", {}, title, element("p", { class: "hint" }, about)),
      this.headline,
      this.live,
      this.progress,
      this.alert,
      this.missing,
      this.body,
    );
  }

  /** Do some work that can be stopped, saying what it is; what was under way is stopped, errors are shown. */
  async work(what, task) {
    this.stop();
    const controller = new AbortController();
    this.controller = controller;
    this.busy(what);
    this.alert.replaceChildren();
    const onWait = (seconds, attempt) =>
      this.busy(`The server is busy: asking again in ${seconds} s (attempt ${attempt + 1})`);
    try {
      await task({ signal: controller.signal, onWait });
    } catch (error) {
      if (this.controller === controller && !isAbort(error)) this.fail(error);
    } finally {
      if (this.controller === controller) this.idle();
    }
  }

  /** Stop what is under way. */
  stop() {
    this.controller?.abort();
    this.controller = null;
  }

  /** Stop it, and show that nothing is under way any more. */
  halt() {
    this.stop();
    this.idle();
  }

  busy(what) {
    this.element.setAttribute("aria-busy", "true");
    clearInterval(this.clock);
    const since = performance.now();
    const seconds = element("span", { "aria-hidden": "true" });
    this.clock = setInterval(() => {
      seconds.textContent = ` ${Math.round((performance.now() - since) / 1000)} s`;
    }, 1000);
    renew(
      this.progress,
      element("progress", { "aria-label": what }),
      element("span", {}, what),
      seconds,
      element("button", { type: "button", class: "plain", "data-key": "stop", click: () => this.halt() }, "Stop"),
    );
  }

  idle() {
    clearInterval(this.clock);
    this.element.removeAttribute("aria-busy");
    renew(this.progress);
  }

  /** Show what went wrong; all that was there stays. */
  fail(error) {
    // An error of the page itself is to be found in the console, too.
    if (!(error instanceof ApiError)) console.error(error);
    const message = error instanceof ApiError ? error.message : `The page failed: ${error.message}`;
    this.alert.replaceChildren(element("p", {}, message));
  }

  /** Say what was answered, to be seen and to be heard. */
  say(headline, heard) {
    this.missing.textContent = "";
    this.headline.replaceChildren(...headline);
    this.live.textContent = heard;
  }

  /** Show that something is missing before there is an answer. */
  wait(message) {
    this.halt();
    this.alert.replaceChildren();
    this.say([], "");
    this.missing.textContent = message;
  }

  destroy() {
    this.stop();
    clearInterval(this.clock);
    this.element.remove();
  }
}
