// Tells those who do not look when queues have come to a stand for a while, and when they go on.

import { say } from "./announce.js";
import { number } from "./format.js";
import { queues } from "./live.js";
import { standing } from "./standing.js";

const FOR_MS = 10_000; // between two claims many a queue stands still

const stillSince = new Map();
const told = new Set();

export function watchOver(now) {
  const stopped = [];
  const started = [];
  for (const queue of queues.values()) {
    const still = standing(queue).word === "stands still";
    if (!still) stillSince.delete(queue.id);
    else if (!stillSince.has(queue.id)) stillSince.set(queue.id, now);
    if (still && !told.has(queue.id) && now - stillSince.get(queue.id) > FOR_MS) {
      told.add(queue.id);
      stopped.push(`${queue.id} stands still: ${queue.why[0] ?? "nobody says why"}`);
    } else if (!still && told.delete(queue.id)) started.push(`${queue.id} goes on`);
  }
  tell(stopped, "queues stand still");
  tell(started, "queues go on");
}

// Of many at once the number is enough.
function tell(news, words) {
  if (news.length) say(news.length === 1 ? news[0] : `${number(news.length)} ${words}`);
}
