/** The tasks by name: how a reply is shown, and held against the one before. */

import * as answering from "./answering.js";
import * as captioning from "./captioning.js";
import * as grounding from "./grounding.js";
import * as matching from "./matching.js";

export const TASKS = { answering, captioning, grounding, matching };

/** What the button says, by what a run does. */
export const VERBS = { ask: "ask", caption: "caption", ground: "find", match: "match", search: "search" };
