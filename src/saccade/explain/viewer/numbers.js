/** What saccade.explain.weights says of weights, in JavaScript: scales, what is even, numbers as text. */

import { LEAST_CONTRAST, LEAST_LEAD } from "./constants.js";

/** The largest number, which may be one of very many. */
export function largest(numbers) {
  return numbers.reduce((a, b) => Math.max(a, b), -Infinity);
}

/** The sum of numbers. */
export function sum(numbers) {
  return numbers.reduce((a, b) => a + b, 0);
}

/** What the upper end of the scale of so many weights is at the least. */
export function leastTop(count) {
  return Math.min(1, LEAST_CONTRAST / count);
}

/** The weight at the upper end of the scale that these are drawn with; the lower end is 0. */
export function scaleTop(weights) {
  return Math.min(1, Math.max(largest(weights), leastTop(weights.length)));
}

/** The weights' places on their scale, from 0 to 1. */
export function scaled(weights) {
  const top = scaleTop(weights);
  return weights.map((weight) => Math.min(1, Math.max(0, weight / top)));
}

/** The indices of the weights, the largest first. */
export function ordered(weights) {
  return [...weights.keys()].sort((a, b) => weights[b] - weights[a]);
}

/** The index of the largest weight, or null where the weights are as good as even. */
export function strongest(weights) {
  const top = weights.indexOf(largest(weights));
  return weights[top] > LEAST_LEAD / weights.length ? top : null;
}

/** The weights as shares of their sum, or null where there is none. */
export function shares(weights) {
  const total = sum(weights);
  return total > 0 ? weights.map((weight) => weight / total) : null;
}

/** A weight among so many, with as many decimals as make the printed ones sum to about 1. */
export function weightText(weight, count) {
  return weight.toFixed(Math.max(2, Math.ceil(Math.log10(count)) + 1));
}

/** A weight on its own, to two digits. */
export function shortText(weight) {
  return weight.toPrecision(2);
}

/** So many of what, in words. */
export function counted(count, what) {
  return `${count} ${what}${count === 1 ? "" : "s"}`;
}
