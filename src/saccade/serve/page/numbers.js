/** Numbers as people read them, and lists of numbers as a link holds them. */

/** A share as a percentage: "94.1 %", of small ones "0.04 %". */
export function percent(share) {
  const value = 100 * share;
  if (value !== 0 && value < 0.1) return value < 0.01 ? "< 0.01 %" : `${value.toFixed(2)} %`;
  return `${value.toFixed(1)} %`;
}

/** A share of weight as a whole percentage: "62 %", of small ones "0.4 %". */
export function weight(share) {
  return 100 * share >= 1 || share === 0 ? `${Math.round(100 * share)} %` : percent(share);
}

/** The difference of two shares in percentage points, with its sign: "−63.1". */
export function points(before, after) {
  return signed(100 * (after - before), 1);
}

/** A number with its sign, a minus as it is printed. */
export function signed(value, digits) {
  const text = Math.abs(value).toFixed(digits);
  if (Number(text) === 0) return `±${text}`;
  return value < 0 ? `−${text}` : `+${text}`;
}

/** A number to so many significant digits, without an exponent where it can be. */
export function short(value, digits = 4) {
  if (!Number.isFinite(value)) return String(value);
  const text = Number(value.toPrecision(digits)).toString();
  return text.replace("-", "−");
}

/** The probability that a log-probability is, to two digits. */
export function probability(logarithm) {
  const value = Math.exp(Math.min(0, logarithm));
  if (value > 0 && value < 1e-7) return value.toExponential(1).replace("-", "−");
  return value.toLocaleString("en", { maximumSignificantDigits: 2 });
}

/** Whole numbers in ascending order, runs of them shortened: "0-3,8". */
export function ranges(numbers) {
  const sorted = [...new Set(numbers)].sort((a, b) => a - b);
  const runs = [];
  for (const number of sorted) {
    const last = runs.at(-1);
    if (last && number === last[1] + 1) last[1] = number;
    else runs.push([number, number]);
  }
  return runs.map(([first, last]) => (first === last ? `${first}` : `${first}-${last}`)).join(",");
}

/** The numbers of such a text; what is none, or more than a link would hold, is left out. */
export function unranged(text) {
  const numbers = [];
  for (const part of (text ?? "").split(",")) {
    const found = /^(\d{1,5})(?:-(\d{1,5}))?$/.exec(part.trim());
    if (!found) continue;
    const first = Number(found[1]);
    const last = Number(found[2] ?? found[1]);
    for (let number = first; number <= last && numbers.length < 5000; number += 1) numbers.push(number);
  }
  return [...new Set(numbers)];
}

/** Values in words: "a", "a and b", "a, b and c". */
export function listed(values) {
  if (values.length < 2) return values.join("");
  return `${values.slice(0, -1).join(", ")} and ${values.at(-1)}`;
}
