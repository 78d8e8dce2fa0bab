// The gateway's public API. Its address is found from the page's own, so that both may be below any path.

import { key } from "./session.js";

const PATIENCE_MS = 20_000; // with an answer that is not a stream
const ROOT = new URL("../", document.baseURI);

// An answer that is an error, or none at all (`status` 0), in words.
export class Trouble extends Error {
  constructor(status, code, message) {
    super(message);
    this.status = status;
    this.code = code;
  }
}

export const get = (path, query) => ask("GET", path, { query });
export const post = (path, body, headers) => ask("POST", path, { body: body ?? {}, headers });

// The path of a queue, whose name is two.
export function queuePath(queue, rest) {
  return `v1/queues/${queue.split("/").map(encodeURIComponent).join("/")}/${rest}`;
}

export function taskPath(id, rest = "") {
  return `v1/tasks/${encodeURIComponent(id)}${rest && `/${rest}`}`;
}

async function ask(method, path, { query, body, headers } = {}) {
  const answer = await send(path, query, {
    method,
    headers: { ...(body ? { "Content-Type": "application/json" } : {}), ...headers },
    body: body && JSON.stringify(body),
    signal: AbortSignal.timeout(PATIENCE_MS),
  });
  return answer.json();
}

// Hear server-sent events until the stream ends; `hear(kind, data)`. By fetch, as the key belongs into a header.
export async function listen(path, hear, signal) {
  const answer = await send(path, null, { headers: { Accept: "text/event-stream" }, signal });
  const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  for (;;) {
    const { value, done } = await reader.read();
    if (done) return;
    const events = (rest + value).split("\n\n");
    rest = events.pop();
    for (const event of events) tell(event, hear);
  }
}

function tell(event, hear) {
  let kind = "";
  const data = [];
  for (const line of event.split("\n")) {
    if (line.startsWith("event: ")) kind = line.slice(7);
    else if (line.startsWith("data: ")) data.push(line.slice(6));
  }
  if (!data.length) return;
  const found = JSON.parse(data.join("\n"));
  if (!kind && found.error) throw new Trouble(0, found.error.code, found.error.message); // how a stream ends that broke
  hear(kind, found);
}

async function send(path, query, options) {
  const address = new URL(path, ROOT);
  for (const [name, value] of Object.entries(query ?? {})) if (value) address.searchParams.set(name, value);
  const headers = { ...options.headers, ...(key() ? { Authorization: `Bearer ${key()}` } : {}) };
  let answer;
  try {
    answer = await fetch(address, { ...options, headers, credentials: "omit", cache: "no-store", redirect: "error" });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    if (error.name === "TimeoutError") throw new Trouble(0, "silent", "the gateway did not answer in time");
    throw new Trouble(0, "not_reached", "the gateway cannot be reached from here");
  }
  if (!answer.ok) throw await trouble(answer);
  return answer;
}

async function trouble(answer) {
  try {
    const { error } = await answer.json();
    return new Trouble(answer.status, error.code, error.message);
  } catch {
    return new Trouble(answer.status, "not_json", `what is between us and the gateway answered ${answer.status}`);
  }
}
