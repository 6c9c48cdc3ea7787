/** Where regions lie: boxes are left, top, right and bottom as fractions of the image. */

import { CUT, TOUCHING } from "./constants.js";
import { largest } from "./numbers.js";

/** Regions with their `places`, inside the image, and, where they are a grid's cells, the `extent` of the grid. */
export function placed(regions, tables = []) {
  const boxes = typeof regions.boxes === "number" ? tables[regions.boxes] : regions.boxes;
  const places = (boxes ?? cells(...regions.grid)).map(inside);
  return { ...regions, boxes, places, extent: regions.grid ? extent(places, regions.grid) : null };
}

/** The index of the region at a point, the strongest where several lie there and else the smallest; null for none. */
export function regionAt(regions, [x, y], weights = null) {
  let found = null;
  regions.places.forEach((box, i) => {
    if (!(box[0] <= x && x <= box[2] && box[1] <= y && y <= box[3])) return;
    const better = weights ? weights[i] > weights[found] : area(box) < area(regions.places[found] ?? [0, 0, 9, 9]);
    if (found === null || better) found = i;
  });
  return found;
}

/** The indices of the regions whose centres lie in a box. */
export function centredIn(regions, [left, top, right, bottom]) {
  return [...regions.places.keys()].filter((i) => {
    const [x1, y1, x2, y2] = regions.places[i];
    const x = (x1 + x2) / 2, y = (y1 + y2) / 2;
    return left <= x && x <= right && top <= y && y <= bottom;
  });
}

/** A region in words: its number as the command line counts, from 0, and its row and column or where its box lies. */
export function regionName(regions, i) {
  return `region ${i} (${whereabouts(regions, i).join(", ")})`;
}

/** Where a region lies, in words: row and column, counted from 1, or what its box covers. */
export function whereabouts(regions, i) {
  if (regions.grid) {
    const columns = regions.grid[1];
    return [`row ${Math.floor(i / columns) + 1}`, `column ${(i % columns) + 1}`];
  }
  const [left, top, right, bottom] = regions.places[i].map((edge) => Math.round(100 * edge));
  return [`${left} to ${right} % across`, `${top} to ${bottom} % down`];
}

/** A box with its corners in order, and inside the image. */
export function inside([x1, y1, x2, y2]) {
  const within = (a, b) => [a, b].sort((p, q) => p - q).map((edge) => Math.min(1, Math.max(0, edge)));
  const [left, right] = within(x1, x2), [top, bottom] = within(y1, y2);
  return [left, top, right, bottom];
}

function area([left, top, right, bottom]) {
  return (right - left) * (bottom - top);
}

/** The boxes of a grid's cells over the whole image, row by row. */
function cells(rows, columns) {
  return Array.from({ length: rows * columns }, (_, i) => {
    const y = Math.floor(i / columns), x = i % columns;
    return [x / columns, y / rows, (x + 1) / columns, (y + 1) / rows];
  });
}

/** What a grid spans, were its outer cells, which the image's edges may cut, as wide and high as the others. */
function extent(places, [, columns]) {
  const across = places.slice(0, columns).map((box) => [box[0], box[2]]);
  const down = places.filter((_, i) => i % columns === 0).map((box) => [box[1], box[3]]);
  const tiled = touching(across) && touching(down) && places.every(([x1, y1, x2, y2], i) => {
    const [left, right] = across[i % columns], [top, bottom] = down[Math.floor(i / columns)];
    return near(x1, left) && near(x2, right) && near(y1, top) && near(y2, bottom);
  });
  const furthest = (side, sign) => sign * largest(places.map((box) => sign * box[side]));
  if (!tiled) return [furthest(0, -1), furthest(1, -1), furthest(2, 1), furthest(3, 1)];
  const [left, right] = whole(across), [top, bottom] = whole(down);
  return [left, top, right, bottom];
}

/** Where the first of a row of cells would start, and the last one end. */
function whole(edges) {
  const lengths = edges.map(([start, end]) => end - start), longest = largest(lengths);
  const first = edges[0], last = edges.at(-1), cut = (length) => length < CUT * longest;
  return [cut(lengths[0]) ? first[1] - longest : first[0], cut(lengths.at(-1)) ? last[0] + longest : last[1]];
}

function touching(edges) {
  return edges.every(([start], i) => i === 0 || near(start, edges[i - 1][1]));
}

function near(a, b) {
  return Math.abs(a - b) < TOUCHING;
}
