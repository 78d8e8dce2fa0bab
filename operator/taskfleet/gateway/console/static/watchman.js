// Tells those who do not look when a queue has come to a stand for a while, and when it goes on.

import { say } from "./announce.js";
import { queues } from "./live.js";
import { standing } from "./standing.js";

const FOR_MS = 10_000; // between two claims many a queue stands still

const stillSince = new Map();
const told = new Set();

export function watchOver(now) {
  for (const queue of queues.values()) {
    const still = standing(queue).word === "stands still";
    if (!still) stillSince.delete(queue.id);
    else if (!stillSince.has(queue.id)) stillSince.set(queue.id, now);
    if (still && !told.has(queue.id) && now - stillSince.get(queue.id) > FOR_MS) {
      told.add(queue.id);
      say(`${queue.id} stands still: ${queue.why[0] ?? "nobody says why"}`);
    } else if (!still && told.delete(queue.id)) {
      say(`${queue.id} goes on`);
    }
  }
}
