/** What is drawn over an image on its canvas: frames, labels, lit boxes' lines, outlines, hatching. */

import { AMBER, INK, LABELLED_BOXES, OUTLINES, PAPER } from "./constants.js";
import { pixelsOf, scaleColor } from "./pixels.js";
import { inside } from "./geometry.js";
import { ordered, scaled, shortText, strongest } from "./numbers.js";

// Of outlines, beside their colours and labels: in screen pixels, by the number of the colour.
const DASHES = [[], [9, 5], [2, 4], [14, 4, 3, 4], [5, 3], [9, 3, 2, 3]];
const LEAST_LABEL = 11;
const PAD = 4;

/**
 * Draw an image and what lies over it: `regions` with their weights, `outlines`, `hatched` boxes that are taken away,
 * a `framed` box with a `dragged` one. The canvas gets as many pixels as `side` on the screen, `density` to each.
 */
export function drawPicture(canvas, bitmap, { side, density = 1, regions, outlines = [], hatched = [], ...boxes }) {
  const scale = (side * density) / Math.max(bitmap.width, bitmap.height);
  canvas.width = Math.max(1, Math.round(bitmap.width * scale));
  canvas.height = Math.max(1, Math.round(bitmap.height * scale));
  const context = canvas.getContext("2d");
  context.putImageData(pixelsOf(bitmap, canvas.width, canvas.height, regions), 0, 0);
  const marks = new Marks(context, canvas.width / density, canvas.height / density, density);
  if (regions) marks.weights(regions);
  for (const box of hatched) marks.hatch(box);
  for (const { box, label, color } of outlines) marks.outline(inside(box), label, color);
  if (boxes.framed) marks.frame(boxes.framed, AMBER, [], 3);
  if (boxes.dragged) marks.frame(boxes.dragged, PAPER, [6, 4]);
}

/** The dash pattern of that number of colour, for what is no canvas. */
export function patternOf(color) {
  return color % DASHES.length;
}

/** Draws on a canvas in screen pixels. */
class Marks {
  constructor(context, width, height, density) {
    const size = Math.max(LEAST_LABEL, Math.round(Math.max(width, height) / 28));
    Object.assign(this, { context, width, height, size });
    context.scale(density, density);
  }

  /** Lines around boxes by weight, and the strongest regions framed and labelled, unless all are as good as even. */
  weights(regions) {
    const order = ordered(regions.weights);
    if (!regions.grid) this.lines(regions, order);
    if (strongest(regions.weights) === null) return;
    if (regions.style === "light" && regions.grid) return;
    this.frame(regions.places[order[0]], PAPER);
    const taken = [];
    for (const i of order.slice(0, regions.grid ? 1 : LABELLED_BOXES)) {
      const label = this.label(regions.places[i], shortText(regions.weights[i]));
      if (taken.some((other) => overlap(label, other))) continue;
      taken.push(label);
      this.write(label, INK);
    }
  }

  lines(regions, order) {
    const share = scaled(regions.weights);
    for (const i of [...order].reverse()) {
      this.rectangle(regions.places[i], rgb(scaleColor(share[i])), 1 + Math.round(3 * share[i]), []);
    }
  }

  outline(box, label, color) {
    const ink = OUTLINES[color % OUTLINES.length];
    this.frame(box, ink, DASHES[patternOf(color)]);
    if (label) this.write(this.label(box, this.shortened(label)), ink);
  }

  /** A line around a box, dark on both sides, so that it is seen on any background. */
  frame(box, color, dashes = [], width = 2) {
    const edge = width / 2 + 1.5;
    this.rectangle(box, rgb(INK), width + 3, []);
    if (dashes.length) this.rectangle(box, rgb(PAPER), width, [], edge);
    this.rectangle(box, rgb(color), width, dashes, edge);
  }

  /** The lines of a box, those at the image's edges wholly inside it. */
  rectangle([x1, y1, x2, y2], color, width, dashes, edge = width / 2) {
    Object.assign(this.context, { strokeStyle: color, lineWidth: width });
    this.context.setLineDash(dashes);
    const within = (at, length) => Math.max(edge, Math.min(length - edge, at * length));
    const [left, top, right, bottom] = [x1, y1, x2, y2].map((at, i) => within(at, i % 2 ? this.height : this.width));
    this.context.strokeRect(left, top, right - left, bottom - top);
    this.context.setLineDash([]);
  }

  /** Diagonal lines over a box that is taken away, and the box darkened. */
  hatch([x1, y1, x2, y2]) {
    const { context } = this;
    const [left, top, right, bottom] = [x1 * this.width, y1 * this.height, x2 * this.width, y2 * this.height];
    context.save();
    context.beginPath();
    context.rect(left, top, right - left, bottom - top);
    context.clip();
    Object.assign(context, { fillStyle: `rgb(${INK.join(" ")} / 0.65)`, strokeStyle: rgb(PAPER), lineWidth: 1.5 });
    context.fillRect(left, top, right - left, bottom - top);
    context.beginPath();
    // The lines of all boxes meet: they are counted from the image's corner.
    for (let at = Math.floor((left + top) / 7) * 7; at < right + bottom; at += 7) {
      context.moveTo(at - top, top);
      context.lineTo(at - bottom, bottom);
    }
    context.stroke();
    context.restore();
  }

  /** Where a label stands: above its box, or where there is room. */
  label([x1, y1, , y2], text) {
    this.context.font = `500 ${this.size}px system-ui, sans-serif`;
    const left = x1 * this.width, top = y1 * this.height;
    const width = this.context.measureText(text).width + 2 * PAD, height = this.size + 5;
    const x = Math.max(0, Math.min(left - 2, this.width - width));
    const above = top >= height + 3;
    const y = above ? top - height - 3 : Math.max(0, Math.min(y2 * this.height + 4, this.height - height));
    return { text, x, y, width, height };
  }

  write({ text, x, y, width, height }, color) {
    const { context } = this;
    Object.assign(context, { fillStyle: rgb(color), textBaseline: "middle" });
    context.fillRect(x, y, width, height);
    context.fillStyle = rgb(PAPER);
    context.fillText(text, x + PAD, y + height / 2 + 0.5);
  }

  /** The text, cut where it is wider than the image. */
  shortened(text) {
    this.context.font = `500 ${this.size}px system-ui, sans-serif`;
    const room = this.width - 2 * PAD, wide = (cut) => this.context.measureText(cut).width > room;
    let characters = [...text];
    if (!wide(text)) return text;
    while (characters.length > 1 && wide(`${characters.join("")}…`)) characters = characters.slice(0, -1);
    return `${characters.join("")}…`;
  }
}

function rgb(color) {
  return `rgb(${color.join(" ")})`;
}

function overlap(a, b) {
  return a.x <= b.x + b.width && b.x <= a.x + a.width && a.y <= b.y + b.height && b.y <= a.y + a.height;
}
