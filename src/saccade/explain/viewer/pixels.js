/** An image with weights over it, pixel by pixel, as saccade.explain.overlay draws it. */

import {
  ANCHORS, IMAGE_LEFT, MIDDLE_GREY, OPACITY, PALENESS, PAPER, SMOOTHING, WHITE_ADDED,
} from "./constants.js";
import { largest, leastTop, ordered, scaled } from "./numbers.js";

const STEPS = 512;
// An eighth of a value of 256 at the most lies beyond.
const REACH = 3.5;
const kept = new WeakMap();
const kernels = new Map();

/** The colour, from 0 to 255, at a place on the scale as it looks over middle grey. */
export function scaleColor(share) {
  const place = Math.round(share * STEPS);
  return [0, 1, 2].map((c) => Math.round(HEAT.add[3 * place + c] + HEAT.keep[place] * MIDDLE_GREY));
}

/** The pixels of an image of that size with its regions' weights over it, or of the bare image. */
export function pixelsOf(bitmap, width, height, regions) {
  const { plain, pale } = under(bitmap, width, height);
  if (!regions) return new ImageData(new Uint8ClampedArray(plain), width, height);
  if (!regions.grid) return lit(plain, pale, width, height, regions);
  const light = regions.style === "light";
  const [left, top, right, bottom] = regions.extent.map((edge, i) => Math.round(edge * (i % 2 ? height : width)));
  const wide = Math.max(1, right - left), high = Math.max(1, bottom - top);
  const weights = light ? regions.weights : scaled(regions.weights);
  const map = enlarged(weights, regions.grid, wide, high, light);
  const scale = light ? 1 / Math.max(largest(map), leastTop(weights.length)) : 1;
  const pixels = new Uint8ClampedArray(pale), ramp = light ? LIGHT : HEAT;
  for (let y = 0, at = 0; y < height; y++) {
    for (let x = 0; x < width; x++, at += 4) {
      const seen = x >= left && x < right && y >= top && y < bottom;
      if (!seen && !light) continue;
      paint(pixels, at, ramp, seen ? map[(y - top) * wide + x - left] * scale : 0);
    }
  }
  return new ImageData(pixels, width, height);
}

/** Lay one pixel's colour at a place on a ramp over it. */
function paint(pixels, at, ramp, share) {
  const place = Math.round(Math.min(1, Math.max(0, share)) * STEPS);
  for (let c = 0; c < 3; c++) pixels[at + c] = ramp.add[3 * place + c] + ramp.keep[place] * pixels[at + c];
}

/** The image dimmed, its boxes lit: the more weight, the clearer. */
function lit(plain, pale, width, height, regions) {
  const share = scaled(regions.weights), light = new Float32Array(width * height);
  for (const i of ordered(share).reverse()) {
    const [left, top, right, bottom] = regions.places[i].map((edge, k) => Math.round(edge * (k % 2 ? height : width)));
    for (let y = top; y < bottom; y++) light.fill(share[i], y * width + left, y * width + right);
  }
  const pixels = new Uint8ClampedArray(pale);
  for (let i = 0, at = 0; i < light.length; i++, at += 4) {
    paint(pixels, at, HEAT, 0);
    for (let c = 0; c < 3; c++) pixels[at + c] += light[i] * (plain[at + c] - pixels[at + c]);
  }
  return new ImageData(pixels, width, height);
}

/** The image's pixels at that size, and the same with their colours paled; kept for the next map over it. */
function under(bitmap, width, height) {
  const sizes = kept.get(bitmap) ?? kept.set(bitmap, new Map()).get(bitmap), size = `${width} ${height}`;
  if (!sizes.has(size)) {
    const context = new OffscreenCanvas(width, height).getContext("2d", { willReadFrequently: true });
    context.imageSmoothingQuality = "high";
    context.drawImage(bitmap, 0, 0, width, height);
    const plain = context.getImageData(0, 0, width, height).data, pale = new Uint8ClampedArray(plain);
    for (let at = 0; at < pale.length; at += 4) {
      const grey = 0.299 * plain[at] + 0.587 * plain[at + 1] + 0.114 * plain[at + 2];
      for (let c = 0; c < 3; c++) pale[at + c] = grey + PALENESS * (plain[at + c] - grey);
    }
    // The stage's size and the sheet's; what a window that changed its size leaves behind is let go.
    if (sizes.size > 2) sizes.clear();
    sizes.set(size, { plain, pale });
  }
  return sizes.get(size);
}

/** A grid's weights at every pixel: between the centres of its cells cubic, or linear and then smoothed. */
function enlarged(weights, [rows, columns], width, height, smooth) {
  const across = kernel(columns, width, smooth), down = kernel(rows, height, smooth);
  const found = new Float32Array(width * height), row = new Float64Array(columns);
  for (let y = 0, at = 0; y < height; y++) {
    row.fill(0);
    down[y].taps.forEach((tap, i) => {
      for (let c = 0; c < columns; c++) row[c] += tap * weights[(down[y].start + i) * columns + c];
    });
    for (let x = 0; x < width; x++, at++) {
      const { start, taps } = across[x];
      let value = 0;
      for (let i = 0; i < taps.length; i++) value += taps[i] * row[start + i];
      found[at] = value;
    }
  }
  return found;
}

/** For each of so many pixels the cells seen in it, from the first, and their shares; kept for the next map. */
function kernel(cells, length, smooth) {
  const asked = `${cells} ${length} ${smooth}`;
  if (!kernels.has(asked)) {
    const taps = interpolation(cells, length, smooth ? linear : cubic);
    if (kernels.size > 7) kernels.clear();
    kernels.set(asked, (smooth ? blurred(taps, SMOOTHING * (length / cells)) : taps).map(narrow));
  }
  return kernels.get(asked);
}

/** For each of so many pixels the shares of all cells in it, by a filter of how far away they are; rows sum to 1. */
function interpolation(cells, pixels, filter) {
  const scale = cells / pixels, wide = Math.max(1, scale);
  return Array.from({ length: pixels }, (_, pixel) => {
    const centre = (pixel + 0.5) * scale;
    const taps = Array.from({ length: cells }, (_, cell) => filter(Math.abs(cell + 0.5 - centre) / wide));
    return divided(taps);
  });
}

/** The rows, each mixed with its neighbours by a Gaussian of that standard deviation, in rows. */
function blurred(rows, deviation) {
  const reach = Math.ceil(REACH * deviation);
  return rows.map((_, at) => {
    const mixed = new Float64Array(rows[0].length);
    for (let i = Math.max(0, at - reach); i <= Math.min(rows.length - 1, at + reach); i++) {
      const share = Math.exp(-0.5 * ((i - at) / deviation) ** 2);
      rows[i].forEach((tap, cell) => { mixed[cell] += share * tap; });
    }
    return divided(mixed);
  });
}

function divided(taps) {
  const total = taps.reduce((a, b) => a + b, 0);
  return taps.map((tap) => tap / total);
}

/** The part of a row that is not 0. */
function narrow(taps) {
  const start = taps.findIndex((tap) => tap !== 0), end = taps.findLastIndex((tap) => tap !== 0) + 1;
  return { start, taps: taps.slice(start, end) };
}

function linear(far) {
  return Math.max(0, 1 - far);
}

/** The cubic that Pillow resizes with. */
function cubic(far) {
  const a = -0.5;
  if (far < 1) return ((a + 2) * far - (a + 3)) * far * far + 1;
  return far < 2 ? (((far - 5) * far + 8) * far - 4) * a : 0;
}

/** What is added to a pixel and how much of it is kept, at every place on the scale. */
function ramp(colorAt, keptAt) {
  const places = Array.from({ length: STEPS + 1 }, (_, step) => step / STEPS);
  return { add: places.flatMap(colorAt), keep: places.map(keptAt) };
}

function between([start, end], share) {
  return start + share * (end - start);
}

/** The colour map's colour at a place on the scale. */
function mapColor(share) {
  const place = share * (ANCHORS.length - 1), i = Math.min(ANCHORS.length - 2, Math.floor(place));
  return ANCHORS[i].map((from, c) => between([from, ANCHORS[i + 1][c]], place - i));
}

const HEAT = ramp(
  (share) => mapColor(share).map((value) => between(OPACITY, share) * value),
  (share) => 1 - between(OPACITY, share),
);
const LIGHT = ramp(
  (share) => PAPER.map((value) => between(WHITE_ADDED, share) * value),
  (share) => between(IMAGE_LEFT, share),
);
