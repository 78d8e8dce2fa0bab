// What is known of the queues, kept new by one stream that comes back by itself, and when we saw it last.

import { Trouble, listen } from "./api.js";
import { moment } from "./format.js";

const SILENT_MS = 12_000; // looks come every second or so: whoever is silent for so long is not there
const PAUSES_MS = [500, 1000, 2000, 4000, 8000, 15_000];
const SAMPLE_MS = 2000;
const SAMPLES = 300; // ten minutes

export const queues = new Map();
export const sight = { state: "looking", at: 0, words: "", skew: 0 };

const samples = new Map();
let changed = () => {};
let refused = () => {};
let current = null;
let pauses = 0;

// `onChange(ids)`: something is new, of these queues; `onRefused(trouble)`: the key does not do.
export function watch(onChange, onRefused) {
  changed = onChange;
  refused = onRefused;
}

export function start() {
  stop();
  current = new AbortController();
  follow(current);
}

export function stop() {
  current?.abort();
  current = null;
  queues.clear();
  samples.clear();
  Object.assign(sight, { state: "looking", at: 0, words: "", skew: 0 });
}

// The last ten minutes of a queue: {at, waiting, running, rate}.
export function history(id) {
  return samples.get(id) ?? [];
}

// Now, by the clock of the gateway.
export function now() {
  return Date.now() + sight.skew;
}

async function follow(mine) {
  while (!mine.signal.aborted) {
    try {
      await hearOnce(mine);
      lose("the gateway ended the connection");
    } catch (error) {
      if (mine.signal.aborted) return;
      if (error instanceof Trouble && (error.status === 401 || error.status === 403)) {
        refused(error);
        return;
      }
      if (/api_key$|not_permitted/.test(error.code ?? "")) continue; // it was taken away: ask again, and be told
      lose(error.message);
    }
    await new Promise((resolve) => setTimeout(resolve, PAUSES_MS[Math.min(pauses, PAUSES_MS.length - 1)]));
    pauses += 1;
  }
}

async function hearOnce(mine) {
  const call = new AbortController();
  const end = () => call.abort();
  mine.signal.addEventListener("abort", end);
  let silence = setTimeout(end, SILENT_MS);
  const kept = { queues: new Set() };
  try {
    await listen(
      "v1/overview",
      (kind, data) => {
        clearTimeout(silence);
        silence = setTimeout(end, SILENT_MS);
        hear(kind, data, kept);
      },
      call.signal,
    );
  } catch (error) {
    if (error.name === "AbortError" && !mine.signal.aborted) throw new Trouble(0, "silent", "the gateway is silent");
    throw error;
  } finally {
    clearTimeout(silence);
    mine.signal.removeEventListener("abort", end);
  }
}

// `kept.queues`: those that this connection told of; the others are of one before it, and go with its first look.
function hear(kind, data, kept) {
  if (kind === "queues") {
    for (const queue of data.data) {
      queues.set(queue.id, queue);
      kept.queues?.add(queue.id);
    }
    for (const id of data.gone) queues.delete(id);
    changed(new Set([...data.data.map((queue) => queue.id), ...data.gone]));
  } else if (kind === "seen") {
    if (kept.queues) for (const id of [...queues.keys()]) if (!kept.queues.has(id)) queues.delete(id);
    kept.queues = null;
    pauses = 0;
    Object.assign(sight, { state: "live", at: Date.now(), words: "", skew: moment(data.now) - Date.now() });
    sample();
    changed(new Set());
  } else if (kind === "trouble") {
    lose(data.message);
  }
}

function lose(words) {
  Object.assign(sight, { state: "lost", words });
  changed(new Set());
}

function sample() {
  for (const [id, queue] of queues) {
    const past = samples.get(id) ?? [];
    if (past.length && sight.at - past.at(-1).at < SAMPLE_MS) continue;
    past.push({ at: sight.at, waiting: queue.pending ?? 0, running: queue.running ?? 0, rate: queue.tasks_per_minute ?? 0 });
    if (past.length > SAMPLES) past.shift();
    samples.set(id, past);
  }
  for (const id of samples.keys()) if (!queues.has(id)) samples.delete(id);
}
