/** Several sentences about one image, by their scores. */

import { isAbort } from "./api.js";

const AT_ONCE = 4;

/**
 * The sentences, best first, as `[{sentence, place, score, shown, error}]`; `score` is null where `ask(sentence)`
 * failed, and one is `shown`: that of the place, or the best where it is null. A single sentence is not asked about.
 */
export async function ranking(lines, ask, place) {
  if (lines.length < 2) return lines.map((sentence) => ({ sentence, place: 0, score: null, shown: true }));
  const scored = lines.map((sentence, at) => ({ sentence, place: at, score: null, shown: false }));
  const waiting = [...scored];
  const worker = async () => {
    for (let each = waiting.shift(); each; each = waiting.shift()) {
      try {
        each.score = (await ask(each.sentence)).data.reply.score;
      } catch (error) {
        if (isAbort(error) || error.status === 0 || error.status === 404) throw error;
        each.error = error.message;
      }
    }
  };
  await Promise.all(Array.from({ length: AT_ONCE }, worker));
  scored.sort((a, b) => (b.score ?? -Infinity) - (a.score ?? -Infinity));
  const chosen = scored.find((each) => each.place === place) ?? scored[0];
  chosen.shown = true;
  return scored;
}
