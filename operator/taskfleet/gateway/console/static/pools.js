// Pools and their endpoints: health, workers, how long a task takes, and what limits them.

import { h } from "./dom.js";
import { count, duration, number as written, rate } from "./format.js";
import { mark, number, table } from "./pieces.js";
import { plain } from "./text.js";

const HEALTH = new Map([
  [true, ["good", "healthy"]],
  [false, ["bad", "not healthy"]],
]);

export function poolTable(queues) {
  const rows = queues.flatMap((queue) => (queue.pools ?? []).flatMap((pool) => poolRows(queue, pool)));
  if (!rows.length) return h("p", { class: "quiet" }, "No controller tells of a pool that serves what is shown here.");
  const heads = ["Endpoint", "Health", number("Workers"), number("In flight"), number("A task takes"), number("Rate"), "Limits"];
  return table("Pools and endpoints", heads, rows, { class: "pools" });
}

function poolRows(queue, pool) {
  const key = `${queue.id} ${pool.name}`;
  const words = `${pool.ready} of ${count(pool.workers, "worker")} ready${pool.desired === pool.workers ? "" : `, ${pool.desired} wanted`}`;
  const change = pool.last_change && h("small", null, plain(` — last change: ${pool.last_change}`));
  const head = h("tr", { key, class: "group" }, h("th", { scope: "rowgroup", colspan: "7" }, h("div", null, plain(pool.name), h("small", null, ` serves ${queue.id} · ${words}`), change)));
  return [head, ...pool.endpoints.flatMap((endpoint) => endpointRows(`${key} ${endpoint.name}`, endpoint))];
}

function endpointRows(key, endpoint) {
  const [kind, word] = HEALTH.get(endpoint.healthy) ?? ["idle", "not probed yet"];
  const direct = endpoint.inflight_of_gateways;
  const flight = direct ? `${written(endpoint.inflight ?? 0)} + ${written(direct)} direct` : written(endpoint.inflight ?? 0);
  const row = h(
    "tr",
    { key },
    h("th", { scope: "row" }, plain(endpoint.name), models(endpoint)),
    h("td", null, mark(kind, word)),
    h("td", { class: "number" }, `${endpoint.ready ?? 0} / ${endpoint.workers ?? 0}`),
    h("td", { class: "number" }, flight),
    h("td", { class: "number" }, duration(endpoint.latency_seconds)),
    h("td", { class: "number" }, rate(endpoint.tasks_per_minute)),
    h("td", null, limits(endpoint.limits)),
  );
  if (!endpoint.why) return [row];
  return [row, h("tr", { key: `${key} why`, class: "why" }, h("td", { colspan: "7" }, h("p", null, plain(endpoint.why))))];
}

function models(endpoint) {
  return endpoint.models.length > 0 && h("small", null, plain(` ${endpoint.models.join(", ")}`));
}

function limits({ concurrency, max_workers: workers, requests_per_minute: requests, tokens_per_minute: tokens }) {
  const words = [
    concurrency && `${written(concurrency)} at once a worker`,
    workers && `at most ${count(workers, "worker")}`,
    requests && `${written(requests)} requests/min`,
    tokens && `${written(tokens)} tokens/min`,
  ];
  return words.filter(Boolean).join(" · ") || "–";
}
