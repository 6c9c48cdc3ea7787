/** The server's answers: waiting where it is busy, stopping where nobody waits any more, errors in its own words. */

const TRIES = 6;
const LONGEST_WAIT = 20;
const KEPT = 24;
const GONE =
  "The server does not answer. Is saccade serve still running? Start it again and press the button: all is kept.";

/** What went wrong, in words for people, with the status of HTTP, 0 where no answer came. */
export class ApiError extends Error {
  constructor(status, message) {
    super(message);
    this.status = status;
  }
}

/** Whether an error is only that a request was stopped. */
export const isAbort = (error) => error?.name === "AbortError";

/**
 * The response to a request; where the server is busy it is asked again, a few times, and `onWait(seconds, attempt)`
 * told. Raises ApiError.
 */
export async function call(path, { method = "GET", body, type, signal, onWait } = {}) {
  const headers = type ? { "Content-Type": type } : {};
  for (let attempt = 1; ; attempt += 1) {
    const response = await reached(path, { method, body, headers, signal });
    if (response.ok) return response;
    if (response.status !== 429 || attempt === TRIES) throw await errorOf(response);
    const seconds = Math.min(LONGEST_WAIT, Number(response.headers.get("Retry-After")) || 1);
    onWait?.(seconds, attempt);
    await pause(seconds, signal);
  }
}

async function reached(path, request) {
  try {
    return await fetch(path, { credentials: "same-origin", ...request });
  } catch (error) {
    throw isAbort(error) ? error : new ApiError(0, GONE);
  }
}

async function errorOf(response) {
  let message = "";
  try {
    message = (await response.json()).error;
  } catch {
    // Not every server between here and there speaks JSON.
  }
  return new ApiError(response.status, message || `The server answered ${response.status} ${response.statusText}.`);
}

function pause(seconds, signal) {
  return new Promise((resolve, reject) => {
    const stopped = () => {
      clearTimeout(timer);
      reject(signal.reason);
    };
    const timer = setTimeout(() => {
      signal?.removeEventListener("abort", stopped);
      resolve();
    }, 1000 * seconds);
    signal?.addEventListener("abort", stopped, { once: true });
  });
}

/** The JSON that a path has. */
export async function get(path, options) {
  return parsed(await call(path, options)).then(({ data }) => data);
}

/** The response to an object sent as JSON. */
export function post(path, fields, options = {}) {
  return call(path, { method: "POST", body: JSON.stringify(fields), type: "application/json", ...options });
}

async function parsed(response) {
  try {
    const text = await response.text();
    return { data: JSON.parse(text), text };
  } catch (error) {
    throw isAbort(error) ? error : new ApiError(0, GONE);
  }
}

const answers = new Map();

/** What the server says to an object sent as JSON, as `{data, text}`; the last few are kept, so that Back is quick. */
export async function asked(path, fields, options = {}) {
  const key = `${path} ${JSON.stringify(fields)}`;
  const found = answers.get(key) ?? (await parsed(await post(path, fields, options)));
  answers.delete(key);
  answers.set(key, found);
  for (const oldest of answers.keys()) {
    if (answers.size <= KEPT) break;
    answers.delete(oldest);
  }
  return found;
}

/** Forget the answers that are kept. */
export const forget = () => answers.clear();
