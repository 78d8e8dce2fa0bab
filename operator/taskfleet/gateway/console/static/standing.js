// How a queue stands, in one word and in numbers.

import { duration, moment } from "./format.js";
import { now } from "./live.js";

// {kind, word}: the kind is a class of the mark.
export function standing(queue) {
  if (queue.pending === undefined) return { kind: "bad", word: "not readable" };
  const waits = queue.pending + queue.scheduled;
  if (queue.paused) return { kind: "held", word: "paused" };
  if (queue.stop_policy !== "None") return { kind: "held", word: "stopped" };
  if (queue.running) return { kind: "good", word: "running" };
  if (queue.pending) return { kind: "bad", word: "stands still" };
  return waits ? { kind: "idle", word: "waits for its time" } : { kind: "idle", word: "idle" };
}

export function oldest(queue) {
  const since = moment(queue.oldest_pending_at);
  return Number.isNaN(since) ? "–" : duration(Math.max(0, (now() - since) / 1000));
}

// When what waits will have run, at the rate of the last minute.
export function timeLeft(queue) {
  const waits = (queue.pending ?? 0) + (queue.scheduled ?? 0);
  if (!waits) return "–";
  return queue.seconds_left === null ? "nobody knows" : `about ${duration(queue.seconds_left)}`;
}
