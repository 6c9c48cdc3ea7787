/** What is looked at in one figure, and what its words and regions have to do with each other. */

import { placed, regionName } from "./geometry.js";
import { largest, shares, shortText, strongest, sum } from "./numbers.js";

/**
 * One figure as it is shown now: its panels, where regions lie, which panel is chosen, which word or region is under
 * the pointer (`hover`) or pinned (`pin`), as {word: i} or {region: i}, what is `away`, and whether a click takes away.
 * Listeners hear every change.
 */
export class State {
  constructor(figure, tables, options) {
    this.figure = figure;
    this.options = options;
    this.panels = figure.panels.map((panel) => withPlaces(panel, tables));
    this.maps = this.panels.find((panel) => panel.picture?.regions)?.picture.regions ?? null;
    const given = options.regions?.boxes || options.regions?.grid ? placed(options.regions) : null;
    this.removable = given ?? this.maps;
    this.shaded = this.panels.find((panel) => panel.words)?.words ?? null;
    this.words = options.words ?? figure.links?.words ?? this.shaded?.words ?? [];
    this.linked = this.maps && figure.links?.words.length === this.words.length ? this.withRows(figure.links) : null;
    const start = Math.min(Math.max(0, options.panel ?? 0), Math.max(0, this.panels.length - 1));
    const away = { regions: new Set(options.away?.regions ?? []), words: new Set(options.away?.words ?? []) };
    Object.assign(this, { panel: start, hover: null, pin: null, away, taking: Boolean(options.onAway) });
    Object.assign(this, { listeners: [], ends: [] });
  }

  /** The links; a row that is a number is the map of that panel. */
  withRows(links) {
    const row = (weights) => (typeof weights === "number" ? this.panels[weights].picture.regions.weights : weights);
    return { ...links, weights: links.weights.map(row) };
  }

  /** Call a function now and after every change. */
  listen(listener) {
    this.listeners.push(listener);
    listener();
  }

  change(values) {
    Object.assign(this, values);
    for (const listener of this.listeners) listener();
  }

  /** The panel shown. */
  get current() {
    return this.panels[this.panel];
  }

  /** The word or region that is shown: what is pointed at, else what is pinned. */
  get shown() {
    return this.hover ?? this.pin;
  }

  /** The regions that the pointer finds now. */
  get regions() {
    return this.taking ? this.removable : this.current?.picture?.regions ?? this.maps;
  }

  /** The words of the line that are shaded by the panel, or null. */
  get shades() {
    const own = this.current?.words;
    return own?.weights && own.words.length === this.words.length ? own.weights : null;
  }

  /** Whether words can be taken away: those of a caption that is being written cannot. */
  get wordsGo() {
    return Boolean(this.options.onAway) && (!this.options.onWord || Boolean(this.options.words));
  }

  /** Choose a panel, and tell who asked to be told. */
  select(index) {
    const panel = Math.min(this.panels.length - 1, Math.max(0, index));
    if (panel === this.panel || panel < 0) return;
    // A word that stays pinned would hide what was chosen.
    this.change({ panel, pin: this.pin?.word === undefined ? this.pin : null });
    this.options.onPanel?.(panel);
  }

  /** Show what is pointed at; null for nothing. */
  point(hover) {
    if (!same(hover, this.hover)) this.change({ hover });
  }

  /** Pin a word or region, or unpin it where it was pinned. */
  pinned(what) {
    this.change({ pin: same(what, this.pin) ? null : what });
  }

  /** Take a word or region away, or put it back where it was away. */
  toggle(kind, i) {
    const next = new Set(this.away[kind]);
    if (!next.delete(i)) next.add(i);
    this.takeAway({ ...this.away, [kind]: next });
  }

  /** Let these be away, and tell who asked to be told. */
  takeAway(away) {
    this.change({ away });
    const sorted = (kind) => [...away[kind]].sort((a, b) => a - b);
    this.options.onAway?.({ regions: sorted("regions"), words: sorted("words") });
  }

  /** The weights of the regions that a word looks at, as shares; null for a word that looks nowhere. */
  lookOf(word) {
    const row = this.linked?.rows[word] ?? null;
    return row === null ? null : shares(this.linked.weights[row]);
  }

  /** For each word its share of what looks at a region; null where none does. */
  lookersOf(region) {
    if (!this.linked || region >= this.maps.weights.length) return null;
    const { rows, weights } = this.linked;
    const used = new Set(rows.filter((row) => row !== null));
    const total = sum([...used].map((row) => weights[row][region]));
    return total > 0 ? rows.map((row) => (row === null ? 0 : weights[row][region] / total)) : null;
  }

  /** The panel that shows what this word looks at, as a caption's words have each their own; null for none. */
  panelOf(word) {
    const first = this.panels.length - this.words.length;
    const alike = () => this.panels.slice(first).every((panel, i) => panel.title === this.words[i]);
    return first >= 0 && this.linked && alike() ? first + word : null;
  }

  /** The word that the panel shown belongs to, or null. */
  get panelWord() {
    const word = this.words.findIndex((_, i) => this.panelOf(i) === this.panel);
    return word < 0 ? null : word;
  }

  /** What is shown of links and weights, in words; nothing where nothing is pointed at. */
  said() {
    if (this.shown?.word !== undefined) return this.saidOfWord(this.shown.word);
    return this.shown ? this.saidOfRegion(this.shown.region) : "";
  }

  saidOfWord(word) {
    const name = `“${this.words[word]}”`;
    if (this.away.words.has(word)) return `${name} is taken away`;
    if (!this.linked) return "";
    const look = this.lookOf(word);
    if (!look) return `${name} looks at no region`;
    const most = look.indexOf(largest(look));
    if (strongest(look) === null) return `${name} looks at all regions evenly`;
    return `${name} looks at ${regionName(this.maps, most)}, ${shortText(look[most])}`;
  }

  saidOfRegion(region) {
    const name = regionName(this.regions, region);
    if (this.sameRegions() && this.away.regions.has(region)) return `${upper(name)} is taken away`;
    const parts = [];
    const map = this.current?.picture?.regions;
    if (map && this.regions.places.length === map.places.length) {
      parts.push(`${map.name} gives it ${shortText(map.weights[region])}`);
    }
    const lookers = this.sameRegions(this.maps) ? this.lookersOf(region) : null;
    const most = lookers ? lookers.indexOf(largest(lookers)) : -1;
    if (most >= 0) parts.push(`of what looks at it, “${this.words[most]}” has ${shortText(lookers[most])}`);
    return parts.length ? `${upper(name)}: ${parts.join("; ")}` : upper(name);
  }

  /** Whether the regions under the pointer are those that can be taken away, or those of the maps. */
  sameRegions(others = this.removable) {
    return Boolean(this.regions && others && this.regions.places.length === others.places.length);
  }
}

/** Whether two things that are pointed at are one. */
export function same(a, b) {
  return a === b || (Boolean(a && b) && a.word === b.word && a.region === b.region);
}

function withPlaces(panel, tables) {
  const { picture } = panel;
  return picture?.regions ? { ...panel, picture: { ...picture, regions: placed(picture.regions, tables) } } : panel;
}

function upper(text) {
  return text.charAt(0).toUpperCase() + text.slice(1);
}
